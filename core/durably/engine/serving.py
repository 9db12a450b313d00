"""Serving the ingress and the admin API of an engine on sockets.

Owns the sockets and the web server (uvicorn, of the extra `engine`) that runs both applications on the engine's event
loop, and their bounded end. Signals are left alone: whoever serves decides what they mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from durably.errors import ConfigurationError, MissingExtraError

__all__ = ["HttpServer", "bind"]

_BACKLOG: Final = 1024
_CLOSE_S: Final = 2

_logger = logging.getLogger("durably.engine")


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening socket; port 0 takes a free one.

    Raises:
        ConfigurationError: The address is taken, or not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)  # asyncio switches Nagle off only where the protocol is named
    except OSError as error:
        raise ConfigurationError(f"{host} is no address of this machine: {error.strerror}.") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ConfigurationError(
            f"Port {port} of {host} cannot be used: {error.strerror}.", hint="Choose another one, or 0 for a free one."
        ) from error
    return bound


class HttpServer:
    """Serves one ASGI application on one socket."""

    def __init__(self, application: Callable[..., Awaitable[None]], listening: socket.socket) -> None:
        """Prepare.

        Raises:
            MissingExtraError: uvicorn is not installed.
        """
        try:
            uvicorn: Any = importlib.import_module("uvicorn")
        except ImportError as error:
            raise MissingExtraError("Serving the engine over HTTP", "engine") from error
        config = uvicorn.Config(
            application,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            ws="none",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_CLOSE_S,
        )

        class Server(uvicorn.Server):  # type: ignore[misc]
            @contextlib.contextmanager
            def capture_signals(self) -> Generator[None]:
                yield

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)  # pyright: ignore[reportUnknownMemberType]
                accepting.set()

        accepting = self._accepting = asyncio.Event()
        self._socket = listening
        self._server = Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._socket.getsockname()[1]
        return port

    async def start(self) -> None:
        """Accept connections from now on."""
        task = self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        accepting = asyncio.ensure_future(self._accepting.wait())
        await asyncio.wait((task, accepting), return_when=asyncio.FIRST_COMPLETED)
        accepting.cancel()
        if task.done():
            await task

    def finish(self) -> None:
        """Accept no more connections; open requests go on for a short time."""
        self._server.should_exit = True

    async def stop(self) -> None:
        """Stop, in bounded time."""
        self.finish()
        if self._task is None:
            self._socket.close()
            return
        _, pending = await asyncio.wait((self._task,), timeout=_CLOSE_S + 1.0)
        if pending:
            _logger.warning("The web server does not stop; it is left.")
            self._task.cancel()
