"""Where the runtime's routes are found, and who starts it, when the application is not the outermost one."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount

from durably import Context
from durably.errors import UsageError
from durably_fastapi import DurableClient, Durably


def shop(url: str = "memory://") -> tuple[FastAPI, Durably]:
    """Make an application with a durable endpoint on a router, and an ordinary one."""
    app = FastAPI()
    durably = Durably(app, url=url)
    router = APIRouter(prefix="/orders")

    @router.post("/{order_id}")
    @durably.endpoint(service="orders")
    async def place(order_id: str, ctx: Context) -> str:
        return await ctx.run_typed("place", lambda: f"placed {order_id}")

    @app.get("/which")
    async def which(client: DurableClient) -> bool:
        return client is not None

    app.include_router(router, prefix="/v1")
    return app, durably


def fetched(client: TestClient, location: str) -> str:
    """Fetch a result that is on its way."""
    while (answer := client.get(location)).status_code == 202:
        time.sleep(0.01)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_routers_in_routers():
    """A durable endpoint stands where its routers' prefixes put it, and so does nothing else."""
    app, _ = shop()
    with TestClient(app) as client:
        assert client.post("/v1/orders/7").json() == "placed 7"
        assert client.post("/orders/7").status_code == 404
        assert client.get("/restate/health").json() == {"status": "ok"}


def test_behind_a_proxy_that_takes_off_a_prefix():
    """With `root_path` the addresses that callers get contain it; the routes are found with it and without."""
    app, _ = shop()
    with TestClient(app, root_path="/api") as client:
        taken = client.post("/v1/orders/7", headers={"prefer": "respond-async"})
        location = taken.headers["location"]
        assert location.startswith("/api/restate/results/")
        assert fetched(client, location.removeprefix("/api")) == "placed 7"
        assert fetched(client, location) == "placed 7"
        assert client.get("/api/restate/health").status_code == 200


def test_mounted_below_another_application():
    """The parent's lifespan runs the runtime, and the addresses contain the mount's path."""
    app, durably = shop()
    parent = FastAPI(lifespan=durably.lifespan)
    parent.mount("/shop", app)
    with TestClient(parent) as client:
        taken = client.post("/shop/v1/orders/7", headers={"prefer": "respond-async"})
        assert taken.headers["location"].startswith("/shop/restate/results/")
        assert fetched(client, taken.headers["location"]) == "placed 7"
        assert client.get("/shop/restate/health").status_code == 200
        assert client.get("/shop/which").json() is True


def test_within_a_lifespan_of_the_parent():
    """The parent's own lifespan can contain the runtime's; the application that has one too does not start it twice."""
    app, durably = shop()

    @asynccontextmanager
    async def lifespan(parent: Starlette):
        async with durably.lifespan(), durably.lifespan():
            yield

    parent = Starlette(routes=[Mount("/shop", app)], lifespan=lifespan)
    with TestClient(parent) as client:
        assert client.post("/shop/v1/orders/7").json() == "placed 7"
        with TestClient(app) as inner:
            assert inner.post("/v1/orders/8").json() == "placed 8"
        assert client.post("/shop/v1/orders/9").json() == "placed 9"


def test_without_any_lifespan(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The first request starts the runtime on a thread of its own, and one warning says how to do better."""
    app, durably = shop(f"sqlite:///{tmp_path}/durably.db")
    parent = FastAPI()
    parent.mount("/shop", app)
    client = TestClient(parent)
    try:
        with caplog.at_level(logging.WARNING, "durably_fastapi"):
            assert [client.post(f"/shop/v1/orders/{number}").json() for number in range(3)] == [
                "placed 0",
                "placed 1",
                "placed 2",
            ]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "lifespan=durably.lifespan" in caplog.text
    finally:
        durably.link.stop_blocking()


def test_a_runtime_that_cannot_start_late_breaks_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Without a lifespan and without a store, ordinary routes work and durable ones say 503."""
    app, _ = shop(f"sqlite:///{tmp_path}/missing/folder/durably.db")

    @app.get("/plain")
    async def plain() -> str:
        return "fine"

    client = TestClient(app)
    with caplog.at_level(logging.ERROR, "durably_fastapi"):
        assert client.get("/plain").json() == "fine"
        assert client.get("/plain").json() == "fine"
        answer = client.post("/v1/orders/7")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert len([record for record in caplog.records if record.name.startswith("durably_fastapi")]) == 1


def test_a_catch_all_route_hides_nothing():
    """Results can be fetched though a route that was there before matches every path."""
    app = FastAPI()

    @app.get("/{path:path}")
    async def page(path: str) -> str:
        return "page"

    durably = Durably(url="memory://")
    durably.init_app(app)

    @app.post("/orders/{order_id}")
    @durably.endpoint(service="orders")
    async def place(order_id: str) -> str:
        return order_id

    with TestClient(app) as client:
        taken = client.post("/orders/7", headers={"prefer": "respond-async"})
        assert fetched(client, taken.headers["location"]) == "7"
        assert client.get("/anything").json() == "page"


def test_another_prefix():
    """The runtime's routes stand below the prefix that was asked for, and nowhere else."""
    app = FastAPI()
    Durably(app, url="memory://", prefix="/internal/durable")
    with TestClient(app) as client:
        assert client.get("/internal/durable/health").status_code == 200
        assert client.get("/restate/health").status_code == 404
        assert client.head("/internal/durable/health").status_code == 200
        assert client.post("/internal/durable/health").status_code == 405


def test_a_factory_makes_many_applications():
    """One `Durably` takes over each application that a factory makes, one after the other."""
    durably = Durably(url="memory://")

    @durably.endpoint(service="greetings")
    async def greet(name: str) -> str:
        return f"hello {name}"

    def create_app() -> FastAPI:
        app = FastAPI()
        durably.init_app(app)
        app.post("/greet")(greet)
        return app

    for _ in range(2):
        with TestClient(create_app()) as client:
            assert client.post("/greet", params={"name": "ada"}).json() == "hello ada"


def test_an_application_that_has_started_is_refused():
    """It is too late to stand before middleware that has been built; the message says where to do it."""
    app = FastAPI()
    with TestClient(app) as client:
        client.get("/")
        with pytest.raises(UsageError, match="started already"):
            Durably(app, url="memory://")
