"""Reading request bodies and writing responses over ASGI.

Owns the limit on bodies: a declared length is refused before anything is read, an undeclared one at the first byte
too many. Shared by the ingress and the admin API.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "Answer",
    "Disconnected",
    "Receive",
    "Scope",
    "Send",
    "TooLargeError",
    "json_bytes",
    "read_body",
    "send_answer",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_WITHOUT_BODY: Final = (204, 205, 304)


class TooLargeError(Exception):
    """A body beyond the limit."""


class Disconnected(Exception):
    """The client has gone; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `headers` has everything but `content-length`; names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def json_bytes(value: object) -> bytes:
    """Write compact JSON; halves of surrogate pairs stay escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


async def read_body(receive: Receive, limit: int, declared: int | None = None) -> bytes:
    """Read a whole body.

    Args:
        receive: Of the ASGI connection.
        limit: Most bytes that are accepted.
        declared: `content-length`, or None.

    Raises:
        TooLargeError: It has more than `limit`.
        Disconnected: The client went before the end.
    """
    if declared is not None and declared > limit:
        raise TooLargeError
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        chunk: bytes = message.get("body", b"")
        if chunk:
            size += len(chunk)
            if size > limit:
                raise TooLargeError
            chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a response; those of a status that has no body, without one."""
    body = b"" if answer.status in _WITHOUT_BODY else answer.body
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
