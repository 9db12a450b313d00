"""The runtime starts and stops with the application, whatever lifespan that has.

Owns the composition, which looks at the messages between the server and the application instead of replacing its
lifespan: lifespans of routers that are included later, and `on_event` functions, are part of it that way.

    server   startup ->                                                    shutdown ->
    app               its own start-up runs | complete ->                               its own shutdown runs
    runtime                                   starts | complete ->   stops |

So what handlers need exists before the first of them runs, and until the last has stopped.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from durably_fastapi.runtime import Runtime

__all__ = ["serve_lifespan"]


async def serve_lifespan(app: ASGIApp, runtime: Runtime, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application's lifespan with the runtime's inside it.

    Raises:
        DurablyError: The runtime could not be started; the application has shut down, and the server has been told.
    """
    is_owner = False

    async def send_after_start(message: Message) -> None:
        nonlocal is_owner
        if message["type"] == "lifespan.startup.complete":
            is_owner = await runtime.start()  # an error unwinds the application's lifespan, which reports it
        await send(message)

    async def receive_after_stop() -> Message:
        nonlocal is_owner
        message = await receive()
        if message["type"] == "lifespan.shutdown" and is_owner:
            is_owner = False
            await runtime.stop()
        return message

    try:
        await app(scope, receive_after_stop, send_after_start)
    finally:
        if is_owner:  # the server ended the lifespan by cancelling it
            await runtime.stop()
