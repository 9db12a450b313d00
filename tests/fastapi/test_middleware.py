"""Middleware, whatever it does and whenever it is added, works as before and never stands in the runtime's way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.testclient import TestClient
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.errors import ServerErrorMiddleware

from durably import Context
from durably_fastapi import Durably
from durably_fastapi.dispatch import Dispatch

SERVER = {"url": "http://127.0.0.1:1"}  # nothing is sent there


def server_app(**settings: Any) -> tuple[FastAPI, list[str]]:
    """Make an application that a server may call, whose middleware would break every stream."""
    app = FastAPI()
    durably = Durably(app, **{**SERVER, **settings})
    seen: list[str] = []

    @app.middleware("http")
    async def reads_everything(request: Request, call_next: RequestResponseEndpoint) -> Response:
        seen.append(request.url.path)
        await request.body()
        return await call_next(request)

    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])

    @app.post("/orders/{order_id}")
    @durably.endpoint(service="orders")
    async def place(order_id: str, ctx: Context) -> str:
        return await ctx.run_typed("place", lambda: order_id)

    return app, seen


def test_a_server_may_ask_what_there_is():
    """Discovery is answered to this machine, not compressed, and no middleware saw it."""
    app, seen = server_app()
    with TestClient(app, client=("127.0.0.1", 1)) as client:
        answer = client.get("/restate/discover", headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert [service["name"] for service in answer.json()["services"]] == ["orders"]
    assert seen == []


@pytest.mark.parametrize("path", ["/restate/discover", "/restate/invoke/orders/place"])
def test_others_may_not(path: str):
    """Without keys, other machines get 401 before anything is looked up; with `allow_unsigned` they are served."""
    app, _ = server_app()
    method = "GET" if path.endswith("discover") else "POST"
    with TestClient(app, client=("192.0.2.7", 1)) as client:
        assert client.request(method, path).status_code == 401
    app, _ = server_app(allow_unsigned=True)
    with TestClient(app, client=("192.0.2.7", 1)) as client:
        assert client.request(method, path).status_code != 401


def test_the_embedded_engine_has_no_invoke_route():
    """Nobody runs handlers with a forged journal: the paths are the application's, which does not know them."""
    app = FastAPI()
    Durably(app, url="memory://")
    with TestClient(app, client=("127.0.0.1", 1)) as client:
        assert client.get("/restate/discover").json() == {"detail": "Not Found"}
        assert client.post("/restate/invoke/orders/place").json() == {"detail": "Not Found"}


def test_durable_answers_pass_the_middleware():
    """Ordinary and durable answers are compressed and marked for browsers as before."""
    app = FastAPI()
    durably = Durably(app, url="memory://")
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["x-durably-invocation-id"])

    @app.post("/long")
    @durably.endpoint
    async def long(size: int) -> str:
        return "x" * size

    with TestClient(app) as client:
        answer = client.post(
            "/long", params={"size": 1000}, headers={"origin": "https://a.example", "accept-encoding": "gzip"}
        )
        assert answer.json() == "x" * 1000
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["access-control-allow-origin"] == "*"
        later = client.post("/long", params={"size": 5}, headers={"prefer": "respond-async"})
        polled = client.get(later.headers["location"], headers={"origin": "https://a.example"})
        assert polled.headers["access-control-allow-origin"] == "*"


def test_the_outermost_layer_is_where_instrumentation_expects_it():
    """What wraps `build_middleware_stack` afterwards finds the layer that reports errors, and ours inside of it."""
    app = FastAPI()
    Durably(app, url="memory://")
    stack = app.build_middleware_stack()
    assert isinstance(stack, ServerErrorMiddleware)
    assert isinstance(stack.app, Dispatch)


async def test_a_caller_that_hangs_up_stops_nothing():
    """When the client disconnects and its request is cancelled, the work goes on to its end."""
    app = FastAPI()
    durably = Durably(app, url="memory://")
    began, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.post("/work")
    @durably.endpoint
    async def work(ctx: Context) -> None:
        async def act() -> None:
            began.set()
            await go_on.wait()

        await ctx.run_typed("act", act)
        await ctx.run_typed("end", ended.set)

    async with durably.lifespan():
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/work",
            "raw_path": b"/work",
            "query_string": b"",
            "headers": [],
            "scheme": "http",
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            raise AssertionError("nobody listens")

        request = asyncio.create_task(app(scope, receive, send))
        await began.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()
        async with asyncio.timeout(5):
            await ended.wait()
