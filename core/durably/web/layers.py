"""What the ASGI layers around applications do alike.

Owns the path below the mount, and the lifespan of a layer whose application has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durably.hosting.asgi import AsgiApp

__all__ = ["path_below_mount", "serve_lifespan"]

Event = MutableMapping[str, Any]


def path_below_mount(scope: Mapping[str, Any]) -> str:
    """Give a request's path below the mount, or below the proxy, that the application stands at."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


async def serve_lifespan(
    receive: Callable[[], Awaitable[Event]],
    send: Callable[[Event], Awaitable[None]],
    *,
    start: Callable[[], object],
    invoke_app: Callable[[], AsgiApp | None],
    stop: Callable[[], object],
) -> None:
    """Start the runtime with the web server and stop it with it, both on a thread.

    Args:
        receive: Of the scope.
        send: Of the scope.
        start: Starts the runtime; what it raises is told to the server, and raised.
        invoke_app: Gives what a Restate Server calls, or None; it is drained before the stop.
        stop: Stops the runtime.
    """
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            try:
                await asyncio.to_thread(start)
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
        elif event["type"] == "lifespan.shutdown":
            app = invoke_app()
            if app is not None:
                await app.drain_attempts()
            await asyncio.to_thread(stop)
            await send({"type": "lifespan.shutdown.complete"})
            return
