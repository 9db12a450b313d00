"""The engine of a test on loopback ports, once a URL is asked for.

Owns the sockets. They listen from the moment the URL is known, also where that is asked for in code that cannot wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durably.engine.serving import HttpServer, bind

if TYPE_CHECKING:
    from durably.engine.engine import Engine

__all__ = ["Listening"]


class Listening:
    """Both HTTP APIs of one engine; made on the engine's event loop."""

    def __init__(self, engine: Engine) -> None:
        """Listen nowhere yet."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._urls: dict[str, str] = {}
        self._servers: list[HttpServer] = []
        self._starting: set[asyncio.Task[None]] = set()

    @property
    def ingress_url(self) -> str:
        """Where the ingress listens, from now on."""
        return self._url_of("ingress", self._engine.ingress_app)

    @property
    def admin_url(self) -> str:
        """Where the admin API listens, from now on."""
        return self._url_of("admin", self._engine.admin_app)

    def _url_of(self, name: str, app: Any) -> str:
        if name not in self._urls:
            server = HttpServer(app, bind("127.0.0.1", 0))
            self._servers.append(server)
            self._urls[name] = f"http://127.0.0.1:{server.port}"
            self._loop.call_soon_threadsafe(self._start, server)
        return self._urls[name]

    def _start(self, server: HttpServer) -> None:
        self._starting.add(self._loop.create_task(server.start()))

    async def close(self) -> None:
        """Stop listening."""
        if self._starting:
            await asyncio.wait(self._starting)
        for server in self._servers:
            await server.stop()
