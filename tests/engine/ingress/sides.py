"""The engine and a real server side by side, with the same services, asked the same way.

Answers are compared by their shape: status, the headers that matter, JSON with ids, times and texts taken out.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import durably
from durably.engine.engine import Engine
from durably.testing.served import AppServer
from durably.testing.server import RestateServer
from tests.engine.ingress.asgi import JSON, Reply, request
from tests.engine.ingress.probe import SERVICES

SHOWN_HEADERS = ("content-type", "x-restate-id", "idempotency-expires", "x-restate-error-source", "location", "allow")
# Texts and versions are ours; the order and the number of services and handlers do not matter.
TEXTS = frozenset(("message", "error", "description", "entry_json", "version", "protocol_v7"))

_ID = re.compile(r"(inv|dp|sign)_1[\w-]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)")
_HOST = re.compile(r"(?:http://127\.0\.0\.1:\d+/?|inprocess://\w+)")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    name: str
    ingress: Callable[..., Reply]
    admin: Callable[..., Reply]

    def admin_json(self, method: str, target: str, value: object = None, **headers: str) -> Reply:
        """Ask the admin API with JSON."""
        body = b"" if value is None else json.dumps(value).encode()
        return self.admin(method, target, ({} if value is None else JSON) | headers, body)

    def send(self, target: str, body: bytes = b"", **headers: str) -> str:
        """Send to a handler; gives the invocation's id."""
        found: str = self.ingress("POST", target, headers, body).json()["invocationId"]
        return found

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Query."""
        reply = self.admin_json("POST", "/query", {"query": sql}, accept="application/json")
        assert reply.status == 200, reply
        return reply.json()["rows"]


@contextmanager
def both_sides(binary: Path) -> Iterator[tuple[Side, Side]]:
    """Start both: the engine runs the services in its process, the server reaches them over HTTP/2."""
    app = AppServer(durably.app(SERVICES))
    app.start()
    try:
        with RestateServer(binary=binary) as server, Engine("memory://", SERVICES) as engine:
            server.register(app.url)
            ours = Side("engine", _in_process(engine.ingress_app), _in_process(engine.admin_app))
            real = Side("server", _over_http(server.ingress_url), _over_http(server.admin_url))
            yield ours, real
    finally:
        app.stop()


def shape(reply: Reply) -> tuple[int, dict[str, str], object]:
    """Give what must be the same of an answer."""
    headers = {name: _text(reply.headers[name]) for name in SHOWN_HEADERS if name in reply.headers}
    try:
        body: object = shape_of(json.loads(reply.body))
    except ValueError:
        body = "text" if reply.status >= 400 else reply.body
    return reply.status, headers, body


def shape_of(value: Any, name: str = "") -> Any:
    """Take out of JSON what differs from run to run."""
    if isinstance(value, dict):
        return {key: "…" if key in TEXTS else shape_of(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((shape_of(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return _HOST.sub("HOST", _TIME.sub("TIME", _ID.sub("ID", value)))


def _in_process(app: Any) -> Callable[..., Reply]:
    def ask(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
        return asyncio.run(request(app, method, target, {**(headers or {}), **_length(method, body)}, body))

    return ask


def _over_http(url: str) -> Callable[..., Reply]:
    def ask(method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {**(headers or {}), **_length(method, body)}.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    return ask


def _length(method: str, body: bytes) -> dict[str, str]:
    return {"content-length": str(len(body))} if body or method == "POST" else {}
