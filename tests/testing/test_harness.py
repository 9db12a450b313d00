"""The test harness: an application, a real server and a client that know each other; and what fails, says why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.errors import DurablyError, MissingExtraError
from durably.testing import harness, server
from durably.testing.harness import AppServer, RestateTestHarness, blocking_test_harness, create_test_harness
from durably.testing.server import ServerNotFoundError
from tests.conformance.suite.binary import require_server

greeter = durably.Service("Greeter")
counter = durably.VirtualObject("Counter")


@greeter.handler()
async def greet(ctx: durably.Context, name: str) -> str:
    """Greet after a durable step and a pause."""
    greeting = await ctx.run_typed("greeting", lambda: "Hello")
    await ctx.sleep(timedelta(milliseconds=1))
    return f"{greeting} {name}"


@greeter.handler()
async def fail(ctx: durably.Context) -> None:
    """Fail each attempt."""
    raise ValueError("never works")


@counter.handler()
def add(ctx: durably.SyncObjectContext, count: int) -> str:
    """Count, in a thread."""
    ctx.set("count", (ctx.get("count", type_hint=int) or 0) + count)
    return f"{ctx.key()}={ctx.get('count')}"


@pytest.fixture
def binary(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real server, which the harness then finds."""
    found = require_server()
    monkeypatch.setenv(server.BINARY_VARIABLE, str(found))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread of the test outlives it; those of fixtures that live as long as the session are none of its."""
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("durably-test")}
    assert left == set()


@pytest.mark.anyio
async def test_an_application_runs_with_a_real_server(binary: Path) -> None:
    """Handlers of both kinds run; every wait suspends if asked; attempts are not repeated if asked; nothing is left."""
    app = durably.app([greeter, counter])
    async with create_test_harness(app, always_replay=True, disable_retries=True) as env:
        client = env.client
        assert await client.service_call(greet, "Ada") == "Hello Ada"
        for key in ("a/b?c#d", ".."):
            assert await client.object_call(add, key, 2) == f"{key}=2"
        with pytest.raises(durably.HttpError, match=r"HTTP 500: .*never works"):
            await client.service_call(fail, None)
        with pytest.raises(durably.HttpError) as caught:
            await client.generic_call("Greeter", "greet", b"7")
        assert (caught.value.status_code, "7" in caught.value.message) == (400, False)
        assert env.admin_api_url.startswith("http://127.0.0.1:")
        assert env.ingress_url != env.admin_api_url


def test_blocking_tests_can_use_it_too(binary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The older form is a context manager whose ingress client is httpx's."""
    with blocking_test_harness(durably.app([greeter]), follow_logs=True) as running:
        with running.ingress_client() as client:
            response = client.post("/Greeter/greet", json="Ada")
        assert response.json() == "Hello Ada"


def test_an_application_that_cannot_be_registered(binary: Path) -> None:
    """When the server refuses the application the reason arrives, and nothing is left running."""

    async def not_an_endpoint(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    broken = RestateTestHarness(not_an_endpoint)
    with pytest.raises(DurablyError):
        broken.start()

    assert broken.server.pid is None


def test_an_application_that_does_not_start() -> None:
    """When the application refuses to start, its error is the reason that is given."""

    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    app_server = AppServer(refusing)
    with pytest.raises(DurablyError, match=r"did not start to listen.*no database"):
        app_server.start()
    app_server.stop()


@pytest.mark.anyio
async def test_no_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server's binary the error says how to install one."""
    monkeypatch.setattr(server, "find_server", lambda: None)
    with pytest.raises(ServerNotFoundError, match="npm install"):
        async with create_test_harness(durably.app([greeter])):
            pass


def test_hypercorn_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hypercorn the error names the extra."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(harness.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"durably\[harness\]"):
        AppServer(None)
