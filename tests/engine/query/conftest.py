"""An engine with something of everything, on each of the two stores."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from durably.engine.engine import Engine
from tests.engine.ingress.asgi import JSON, Reply, post_json, request
from tests.engine.ingress.probe import SERVICES

Query = Callable[[str], Reply]


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine after a few requests, and the ids of the invocations they made."""

    engine: Engine
    ids: dict[str, str]

    def query(self, sql: str) -> Reply:
        """Ask for rows."""
        return asyncio.run(post_json(self.engine.admin_app, "/query", {"query": sql}))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Ask for rows that exist."""
        reply = self.query(sql)
        assert reply.status == 200, reply.body
        return reply.json()["rows"]

    def row(self, sql: str) -> dict[str, Any]:
        """Ask for exactly one row."""
        (found,) = self.rows(sql)
        return found


@pytest.fixture(scope="package", params=["memory", "file"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Invocations that completed, failed, sleep, hold a key, are scheduled and are queued; and some state."""
    path = tmp_path_factory.mktemp("query") / "engine.db"
    url = "memory://" if request.param == "memory" else f"sqlite:///{Path(path)}"
    with Engine(url, SERVICES) as engine:
        yield Stage(engine, _play(engine))


def _play(engine: Engine) -> dict[str, str]:
    app = engine.ingress_app

    def send(target: str, body: bytes = b"", **headers: str) -> str:
        found: str = asyncio.run(request(app, "POST", target, headers, body)).json()["invocationId"]
        return found

    ids = {
        "sleeping": send("/Probe/sleep/send"),
        "scheduled": send("/Probe/plain/send?delay=1h"),
        "holding": send("/Thing/k%2F1/hold/send"),
        "queued": send("/Thing/k%2F1/put/send", b"1", **JSON),
    }
    for name, target, body in (
        ("done", "/Probe/greet", b'"Bob"'),
        ("failed", "/Probe/fail", b"418"),
        ("stateful", "/Thing/\x7f/put".replace("\x7f", "%E2%82%AC"), b"42"),
        ("flow", "/Flow/w/run", b'"a"'),
    ):
        reply = asyncio.run(
            request(app, "POST", target, {**JSON, "idempotency-key": name} if name == "done" else JSON, body)
        )
        ids[name] = reply.headers["x-restate-id"]
    edited = asyncio.run(
        post_json(engine.admin_app, "/services/Thing/state", {"object_key": "raw", "new_state": {"b": [255, 0]}})
    )
    assert edited.status == 202
    deadline = time.monotonic() + 10
    while True:
        reply = asyncio.run(post_json(engine.admin_app, "/query", {"query": _SLEEPING.format(ids["sleeping"])}))
        if json.loads(reply.body)["rows"]:
            return ids
        assert time.monotonic() < deadline, "the sleeping handler has not slept"


_SLEEPING = "SELECT id FROM sys_journal WHERE id = '{}' AND entry_type = 'Command: Sleep'"
