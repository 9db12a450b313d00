"""Reads away the rest of a request whose answer is already known.

Owns one rule: never end a response before its request ended. hypercorn fails the whole connection, with every other
stream on it, when data arrives for a stream that the application has finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["drain"]


async def drain(receive: Callable[[], Awaitable[Any]], limit_s: float) -> bool:
    """Discard request body until it ends or the peer goes away, for at most `limit_s` seconds.

    Do not call it when the end of the body was already received: servers block then.

    Returns:
        False if the peer went away, so that nothing more needs to be sent.
    """
    try:
        async with asyncio.timeout(limit_s):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return False
                if not event.get("more_body", False):
                    return True
    except TimeoutError:
        return True
