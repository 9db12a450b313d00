"""Plays the server of an ASGI application in process: one request whose body and end a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tests.hosting.wire import V6


def http_scope(
    method: str = "POST",
    path: str = "/invoke/Greeter/greet",
    headers: Sequence[tuple[str, str]] = (("content-type", V6),),
    *,
    http_version: str = "2",
    peer: str = "127.0.0.1",
) -> dict[str, Any]:
    """Build a scope as hypercorn does."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": http_version,
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": (peer, 50000),
        "server": ("127.0.0.1", 9080),
        "extensions": {},
        "state": {},
    }


class Exchange:
    """One request to an application, and what came back.

    `receive` behaves as the measured servers do: it blocks after the end of the body until the peer goes away, and
    answers a disconnect at once and for ever from then on.
    """

    def __init__(self, application: Any, scope: dict[str, Any] | None = None) -> None:
        """Start the application on `scope`."""
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.receive_calls = 0
        self.is_disconnected = False
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(application(scope or http_scope(), self._receive, self._send))

    def feed(self, body: bytes) -> None:
        """Send a chunk of the body."""
        self.events.put_nowait({"type": "http.request", "body": body, "more_body": True})

    def end(self, body: bytes = b"") -> None:
        """Send the last chunk."""
        self.events.put_nowait({"type": "http.request", "body": body, "more_body": False})

    def disconnect(self) -> None:
        """Go away."""
        self.is_disconnected = True
        self.events.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        """The response's status."""
        return self.sent[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """The response body so far."""
        return b"".join(event.get("body", b"") for event in self.sent[1:])

    @property
    def has_ended(self) -> bool:
        """Whether the last chunk was sent."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the answer so far satisfies `condition`."""
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def finished(self, timeout_s: float = 5) -> bytes:
        """Wait until the application returned; gives the body."""
        await asyncio.wait_for(self.task, timeout_s)
        return self.body

    async def _receive(self) -> dict[str, Any]:
        self.receive_calls += 1
        if self.is_disconnected and self.events.empty():
            return {"type": "http.disconnect"}
        return await self.events.get()

    async def _send(self, event: dict[str, Any]) -> None:
        if not self.is_disconnected:
            self.sent.append(event)
        self._changed.set()


async def ask(application: Any, body: bytes = b"", **scope: Any) -> Exchange:
    """Send a whole request and wait for the whole answer."""
    exchange = Exchange(application, http_scope(**scope))
    exchange.end(body)
    await exchange.finished()
    return exchange
