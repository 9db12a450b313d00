"""A Django project on an ASGI server: durable handlers stream, everything else is served as always.

    from durably_django.asgi import get_asgi_application
    application = get_asgi_application()

Owns the layer around Django's own application. Django reads a request to its end before it looks at it, so a stream of
the Restate Server has to be taken before. That needs a server that speaks HTTP/2 (hypercorn, granian) to be a stream;
on others it is one request for each wait, as under WSGI.

| scope | path | goes to |
|---|---|---|
| `lifespan` | | the runtime, which starts and stops with the server |
| `http` | `{prefix}/discover`, `{prefix}/invoke/…` | the endpoint; Django if the engine is embedded |
| other | | Django |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from durably.web.layers import path_below_mount, serve_lifespan
from durably_django.runtime import runtime

__all__ = ["DurableAsgi", "get_asgi_application"]

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]


def get_asgi_application() -> DurableAsgi:
    """Give the project's ASGI application; stands where Django's function of the same name stood."""
    from django.core import asgi

    return DurableAsgi(asgi.get_asgi_application())


class DurableAsgi:
    """Wraps an ASGI application of Django, or what was put around it."""

    def __init__(self, app: AsgiApp) -> None:
        """Stand before `app`."""
        self.app: AsgiApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await serve_lifespan(
                receive, send, start=runtime.start, invoke_app=lambda: runtime.invoke_app, stop=runtime.stop
            )
            return
        if scope["type"] == "http" and _is_of_runtime(scope):
            link = await asyncio.to_thread(lambda: runtime.link)
            if link.invoke_app is not None:
                await link.invoke_app(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _is_of_runtime(scope: Scope) -> bool:
    path, prefix = path_below_mount(scope), runtime.prefix
    return path == f"{prefix}/discover" or path.startswith(f"{prefix}/invoke/")
