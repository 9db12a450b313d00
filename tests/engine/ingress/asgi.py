"""Requests to an ASGI application without a server, byte for byte as given: nothing normalises the path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class Exchange:
    """One request, of which the parts can be sent one by one."""

    def __init__(
        self,
        app: App,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        client: tuple[str, int] | None = ("127.0.0.1", 40000),
        root_path: str = "",
    ) -> None:
        self._app = app
        path, _, query = target.partition("?")
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if not any(name == "host" for name, _ in pairs):
            pairs.insert(0, ("host", "localhost:8080"))
        self.scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode(errors="replace"),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": root_path,
            "headers": [(name.encode("latin-1"), value.encode("utf-8")) for name, value in pairs],
            "client": client,
            "server": ("127.0.0.1", 8080),
        }
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.outgoing: list[Message] = []

    def send_body(self, body: bytes, *, more: bool = False) -> None:
        """Send a piece of the body."""
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def disconnect(self) -> None:
        """Go away."""
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def run(self) -> Reply | None:
        """Let the application answer; None when it answered nothing."""

        async def send(message: Message) -> None:
            self.outgoing.append(message)

        await self._app(self.scope, self.incoming.get, send)
        if not self.outgoing:
            return None
        start = self.outgoing[0]
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], headers, b"".join(message.get("body", b"") for message in self.outgoing[1:]))


async def request(
    app: App,
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    **options: Any,
) -> Reply:
    """Send a whole request and give the answer."""
    exchange = Exchange(app, method, target, headers, **options)
    exchange.send_body(body)
    reply = await exchange.run()
    assert reply is not None, "the application did not answer"
    return reply


async def post_json(app: App, target: str, value: object, **headers: str) -> Reply:
    """Send JSON."""
    return await request(app, "POST", target, JSON | headers, json.dumps(value).encode())
