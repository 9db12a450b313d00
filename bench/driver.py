"""A stand-in for Restate Server and an HTTP/2 server at once: drives one ASGI app in this process.

Owns how a request arrives and how a proposal is answered: the journal in pieces of 16 KiB, as HTTP/2 frames would cut
it; the notification of a run at once; the end of the request after the terminal message. All bytes are computed before
the measurement or remembered after the first time, and no turn of the event loop lies between a proposal and its
answer, so that what is measured is the app: a turn costs both sides the same few microseconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench import frames

Message = dict[str, Any]
App = Callable[..., Awaitable[None]]

PIECE = 16_384
_TERMINAL = frozenset({frames.SUSPENSION, frames.ERROR, frames.END})
_END_OF_REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
_completions: dict[bytes, Message] = {}


def pieces(data: bytes) -> list[Message]:
    """Cut request bytes into the events an HTTP/2 server would deliver."""
    return [
        {"type": "http.request", "body": data[start : start + PIECE], "more_body": True}
        for start in range(0, len(data), PIECE)
    ]


def scope_of(handler: str) -> Message:
    """Make the ASGI scope of `POST /invoke/Bench/<handler>` over HTTP/2."""
    path = f"/invoke/Bench/{handler}"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"content-type", frames.CONTENT_TYPE),
            (b"accept", frames.CONTENT_TYPE),
            (b"x-restate-invocation-id", b"inv_1bench"),
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 9080),
        "extensions": {},
        "state": {},
    }


class Exchange:
    """One request and its response."""

    __slots__ = ("_arrived", "_incoming", "status", "terminal", "written")

    def __init__(self, incoming: list[Message]) -> None:
        """Start with the events of the journal."""
        self._incoming = deque(incoming)
        self._arrived: asyncio.Future[None] | None = None
        self.status = 0
        self.terminal: int | None = None
        self.written = 0

    async def receive(self) -> Message:
        """Give the next event, or wait for one."""
        while not self._incoming:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._incoming.popleft()

    async def send(self, message: Message) -> None:
        """Take a part of the response; answer what is proposed in it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        body = message.get("body")
        if not body:
            return
        for message_type, payload in frames.split_frames(bytes(body)):
            self.written += 1
            if message_type == frames.PROPOSE:
                completion = _completions.get(payload)
                if completion is None:
                    answer = frames.run_completion_of(payload)
                    completion = {"type": "http.request", "body": answer, "more_body": True}
                    _completions[payload] = completion
                self._deliver(completion)
            elif message_type in _TERMINAL:
                self.terminal = message_type
                self._deliver(_END_OF_REQUEST)

    def _deliver(self, message: Message) -> None:
        self._incoming.append(message)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def close(self) -> None:
        """Say that the client went away."""
        self._deliver({"type": "http.disconnect"})


async def invoke(app: App, handler: str, journal: list[Message], times: int) -> None:
    """Run `times` invocations, one after the other.

    Raises:
        RuntimeError: One did not end well: a fast failure must not look like a fast success.
    """
    scope = scope_of(handler)
    for _ in range(times):
        exchange = Exchange(journal)
        await app(scope, exchange.receive, exchange.send)
        if exchange.status != 200 or exchange.terminal != frames.END:
            raise RuntimeError(f"{handler}: status {exchange.status}, terminal message {exchange.terminal}")


def numbered_journals(body: bytes) -> Iterator[list[Message]]:
    """Give journals of different invocations for ever."""
    invocation = 0
    while True:
        yield pieces(frames.journal(body, invocation=invocation))
        invocation += 1
