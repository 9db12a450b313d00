"""The runtime starts after the application and stops before it, however the application's lifespan is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from durably import Context
from durably.errors import EngineStoppedError, StoreError
from durably_fastapi import Durably


def recording(events: list[str], name: str):
    """Make a lifespan that tells when it begins and ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        events.append(f"{name} opens")
        try:
            yield {name: "open"}
        finally:
            events.append(f"{name} closes")

    return lifespan


def watched(durably: Durably, events: list[str]) -> None:
    """Tell when the runtime starts and stops."""
    runtime = durably._runtime
    start, stop = runtime.start, runtime.stop

    async def start_watched() -> bool:
        events.append("runtime starts")
        return await start()

    async def stop_watched() -> None:
        await stop()
        events.append("runtime stopped")

    runtime.start, runtime.stop = start_watched, stop_watched


def test_the_runtime_lives_within_the_application():
    """An own lifespan opens first and closes last, and so does that of a router that is included later."""
    events: list[str] = []
    app = FastAPI(lifespan=recording(events, "app"))
    durably = Durably(app, url="memory://")
    watched(durably, events)
    router = APIRouter(lifespan=recording(events, "router"))
    app.include_router(router)
    with TestClient(app) as client:
        assert client.app_state == {"app": "open", "router": "open"}
        assert durably.link.engine is not None
        assert durably.link.engine.is_driving
    assert events == [
        "app opens",
        "router opens",
        "runtime starts",
        "runtime stopped",
        "router closes",
        "app closes",
    ]


def test_start_up_functions_are_part_of_it():
    """What the application does in the older way also happens around the runtime."""
    events: list[str] = []
    app = FastAPI()
    app.router.on_startup.append(lambda: events.append("started"))
    app.router.on_shutdown.append(lambda: events.append("ended"))
    watched(Durably(app, url="memory://"), events)
    with TestClient(app):
        assert events == ["started", "runtime starts"]
    assert events[2:] == ["runtime stopped", "ended"]


def test_a_runtime_that_cannot_start_stops_the_application(tmp_path: Path):
    """The application's lifespan is unwound, and the server learns why it does not start."""
    events: list[str] = []
    app = FastAPI(lifespan=recording(events, "app"))
    Durably(app, url=f"sqlite:///{tmp_path}/missing/folder/durably.db")
    with pytest.raises(StoreError), TestClient(app):
        raise AssertionError("it must not start")
    assert events == ["app opens", "app closes"]


def test_an_application_that_cannot_start_starts_no_runtime():
    """When the application's own start-up fails, the runtime is not touched."""
    events: list[str] = []

    @asynccontextmanager
    async def broken(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = FastAPI(lifespan=broken)
    watched(Durably(app, url="memory://"), events)
    with pytest.raises(RuntimeError, match="no database"), TestClient(app):
        raise AssertionError("it must not start")
    assert events == []


def test_an_application_can_live_again(tmp_path: Path):
    """Test clients one after the other each have a runtime, and what a file holds stays."""
    app = FastAPI()
    durably = Durably(app, url=f"sqlite:///{tmp_path}/durably.db")

    @app.post("/count")
    @durably.endpoint(key="name")
    async def count(name: str) -> str:
        return name

    for _ in range(3):
        with TestClient(app) as client:
            assert client.post("/count", params={"name": "a"}).json() == "a"


def test_the_client_is_refused_after_the_end():
    """When the application has stopped, durable calls are refused instead of waiting for ever."""
    app = FastAPI()
    durably = Durably(app, url="memory://")
    with TestClient(app):
        client = durably.client()
    with pytest.raises(EngineStoppedError):
        durably.sync_client().generic_call("Nothing", "here", b"")
    assert client is not None


async def test_a_server_that_cancels_the_lifespan_stops_the_runtime():
    """A lifespan that ends by cancellation leaves no engine behind."""
    import asyncio

    app = FastAPI()
    durably = Durably(app, url="memory://")
    started = asyncio.Event()
    asked = False

    async def receive() -> dict[str, str]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "lifespan.startup"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, str]) -> None:
        started.set()

    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    await started.wait()
    engine = durably.link.engine
    assert engine is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(EngineStoppedError):
        await engine.client().generic_call("Nothing", "here", b"")


def test_two_runtimes_in_one_process(tmp_path: Path):
    """Two applications with stores of their own do not know each other; the client is each one's own."""
    seen: list[str] = []
    apps: list[FastAPI] = []
    for name in ("a", "b"):
        app = FastAPI()
        durably = Durably(app, url=f"sqlite:///{tmp_path}/{name}.db")

        @app.post("/who")
        @durably.endpoint(service="who")
        async def who(ctx: Context, word: str, name: str = name) -> str:
            await ctx.run_typed("see", lambda: seen.append(name))
            return name

        apps.append(app)
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second:
        assert first.post("/who", params={"word": "x"}).json() == "a"
        assert second.post("/who", params={"word": "x"}).json() == "b"
    assert seen == ["a", "b"]
