"""An application's link in each of the places where it works: embedded or with a server, awaiting or blocking."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from durably.endpoint import Endpoint
from durably.testing.ports import free_port
from durably.testing.server import RestateServer
from durably.web.calls import EndpointCall, Outcome, perform, perform_blocking, poll, poll_blocking
from durably.web.link import Link
from durably.web.settings import read_settings
from tests.web.shop import services

__all__ = ["SECRET", "Site", "served", "site_of"]

SECRET = "a secret of the tests"
Flavour = Literal["awaiting", "blocking"]


class Site:
    """A running link, and one way to use it."""

    def __init__(self, link: Link, flavour: Flavour) -> None:
        self.link = link
        self.flavour = flavour
        self.is_embedded = link.settings.is_embedded
        self._runner = asyncio.Runner()

    def call(self, handler: Any, payload: bytes = b"{}", **how: Any) -> Outcome:
        """Make a call."""
        call = EndpointCall(handler=handler, payload=payload, **how)
        if self.flavour == "blocking":
            return perform_blocking(self.link, call)
        return self._runner.run(perform(self.link, call))

    def poll(self, token: str, prefer: str | None = None, root_path: str = "") -> Outcome:
        """Look for a result."""
        if self.flavour == "blocking":
            return poll_blocking(self.link, token, prefer, root_path)
        return self._runner.run(poll(self.link, token, prefer, root_path))

    def ask(self, *questions: Callable[[Any], Any]) -> list[Any]:
        """Ask the link's client."""
        if self.flavour == "blocking":
            return [question(self.link.sync_client()) for question in questions]

        async def each() -> list[Any]:
            return [await question(self.link.client()) for question in questions]

        return self._runner.run(each())

    def start(self) -> None:
        """Start the link."""
        if self.flavour == "blocking":
            self.link.start_blocking()
        else:
            self._runner.run(self.link.start())

    def stop(self) -> None:
        """Stop the link."""
        if self.flavour == "blocking":
            self.link.stop_blocking()
        else:
            self._runner.run(self.link.stop())

    def close(self) -> None:
        """Stop the link and the loop."""
        self.stop()
        self._runner.close()

    def counted(self) -> list[str]:
        """Give a list that fills with the requests to the server."""
        seen: list[str] = []
        if self.flavour == "blocking":
            sync_client: Any = self.link.sync_client()
            sync_client.client.event_hooks = {"request": [lambda request: seen.append(request.method)]}
        else:

            async def note(request: Any) -> None:
                seen.append(request.method)

            async def hook() -> None:
                client: Any = self.link.client()
                client.client.event_hooks = {"request": [note]}

            self._runner.run(hook())
        return seen


@contextmanager
def served(application: Callable[..., Any], port: int, **config: Any) -> Iterator[str]:
    """Serve an application on a thread, with uvicorn; give its URL."""
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_config=None, lifespan="off", **config))
    thread = threading.Thread(target=server.run, name="test-server")
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.005)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def site_of(
    kind: str, flavour: Flavour, server: Callable[[], RestateServer], *, secret: str | None = SECRET, **settings: Any
) -> Iterator[Site]:
    """Run a link to an engine in memory, or to a server."""
    with contextlib.ExitStack() as stack:
        if kind == "server":
            runtime, port = server(), free_port()
            settings |= {
                "url": runtime.ingress_url,
                "admin_url": runtime.admin_url,
                "service_url": f"http://127.0.0.1:{port}",
            }
        else:
            settings.setdefault("url", "memory://")
        link = Link(read_settings({"secret_key": secret, **settings}, {}, {}), Endpoint().bind(*services))
        if link.invoke_app is not None:
            stack.enter_context(served(link.invoke_app, port))
        site = Site(link, flavour)
        site.start()
        stack.callback(site.close)
        yield site
