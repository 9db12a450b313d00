"""The runtimes that every client is tried on: the real server, the engine behind HTTP, the engine in the process.

Owns starting and stopping them, and one face for the four clients: a test says once what it does with a client, and
it is done by awaiting or by blocking.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import durably
from durably.client import blocking
from durably.testing.server import RestateServer
from tests.client.services import services
from tests.conformance.suite.binary import require_server
from tests.conformance.suite.columns import Column, Handlers, Host, Server, Setting
from tests.conformance.suite.engines import EngineProcess
from tests.conformance.suite.processes import ServiceProcess

__all__ = ["Client", "Kind", "Runtime", "Style"]

_SECONDS = 30.0


class Kind(enum.Enum):
    """Which runtime, and how it is reached."""

    SERVER = "server"
    ENGINE = "engine-http"
    IN_PROCESS = "in-process"


class Style(enum.Enum):
    """Which half of the clients."""

    ASYNC = "async"
    BLOCKING = "blocking"


class _Services(ServiceProcess):
    asgi = "tests.client.services:app"


class Runtime:
    """A running runtime with the services registered."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        """Start it."""
        self.kind = kind
        self.ingress_url = self.admin_url = ""
        self._stack = ExitStack()
        if kind is Kind.IN_PROCESS:
            self.engine = self._stack.enter_context(durably.Engine("memory://", services))
            return
        column = Column(Host.HYPERCORN, Handlers.ASYNC, Setting.DEFAULT, server=Server.ENGINE)
        if kind is Kind.SERVER:
            require_server()
        server = RestateServer(directory=directory) if kind is Kind.SERVER else EngineProcess(column, directory)
        service = _Services(column, directory / "services")
        server.start()
        self._stack.callback(server.stop)
        service.start()
        self._stack.callback(service.kill)
        server.register(service.url)
        self.ingress_url, self.admin_url = server.ingress_url, server.admin_url

    def close(self) -> None:
        """Stop it."""
        self._stack.close()


class Client:
    """A client of either style, used from tests that block."""

    def __init__(self, runtime: Runtime, style: Style) -> None:
        """Use `runtime` in `style`."""
        self.runtime = runtime
        self.style = style

    def ask(self, use: Callable[[Any], Any], **options: Any) -> Any:
        """Do something with a client, and wait for it."""
        if self.style is Style.BLOCKING:
            return self._block(use, options)
        return asyncio.run(self._await(use, options))

    def _block(self, use: Callable[[Any], Any], options: dict[str, Any]) -> Any:
        if self.runtime.kind is Kind.IN_PROCESS:
            return use(self.runtime.engine.sync_client(**options))
        with blocking.create_client(self.runtime.ingress_url, admin_url=self.runtime.admin_url, **options) as client:
            return use(client)

    async def _await(self, use: Callable[[Any], Any], options: dict[str, Any]) -> Any:
        if self.runtime.kind is Kind.IN_PROCESS:
            return await use(self.runtime.engine.client(**options))
        url, admin_url = self.runtime.ingress_url, self.runtime.admin_url
        async with durably.create_client(url, admin_url=admin_url, **options) as client:
            done = use(client)
            return await done if inspect.isawaitable(done) else done

    def poll(self, use: Callable[[Any], Any], until: Callable[[Any], bool]) -> Any:
        """Ask until the answer is the wanted one."""
        end = time.monotonic() + _SECONDS
        while not until(answer := self.ask(use)):
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain; at last {answer!r}")
            time.sleep(0.02)
        return answer

    @staticmethod
    def key() -> str:
        """Give a key that nobody else uses."""
        return uuid.uuid4().hex
