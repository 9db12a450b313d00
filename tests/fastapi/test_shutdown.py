"""Calls that wait for their result when the web server stops and ends all requests that are still open."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request

from durably import Context
from durably_fastapi import Durably

pytestmark = pytest.mark.anyio

UVICORN_SAYS = "Task cancelled, timeout graceful shutdown exceeded"


class Shop:
    """An application that is called as a server calls it; its handlers tell when they have begun."""

    def __init__(self, *, with_middleware: bool) -> None:
        self.app = FastAPI()
        self.durably = Durably(self.app, url="memory://")
        self.begun = asyncio.Event()
        self.sent: list[Any] = []

        @self.app.get("/durable")
        @self.durably.endpoint
        async def durable(ctx: Context) -> None:
            self.begun.set()
            await ctx.sleep(timedelta(days=1))

        @self.app.get("/plain")
        async def plain() -> None:
            self.begun.set()
            await asyncio.Event().wait()

        if with_middleware:

            @self.app.middleware("http")
            async def pass_on(request: Request, call_next: Any) -> Any:
                return await call_next(request)

    async def cancelled(self, path: str, message: str | None) -> None:
        """Call `path`, and cancel the request with `message` once its endpoint has begun."""

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(event: Any) -> None:
            self.sent.append(event)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        async with self.durably.lifespan():
            task = asyncio.get_running_loop().create_task(self.app(scope, receive, send))
            await asyncio.wait_for(self.begun.wait(), 10)
            task.cancel(message)
            await task


@pytest.mark.parametrize("with_middleware", [False, True])
async def test_a_waiting_call_is_told_to_come_again(with_middleware: bool):
    """It gets the 503 that calls get while an application stops, and not an error of the server's own."""
    shop = Shop(with_middleware=with_middleware)
    await shop.cancelled("/durable", UVICORN_SAYS)
    start = shop.sent[0]
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert [event["type"] for event in shop.sent] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize(("path", "message"), [("/plain", UVICORN_SAYS), ("/durable", None), ("/durable", "other")])
async def test_other_cancellations_stay_what_they_are(path: str, message: str | None):
    """A plain endpoint is no business of ours, and neither is a cancellation by somebody else."""
    shop = Shop(with_middleware=False)
    with pytest.raises(asyncio.CancelledError):
        await shop.cancelled(path, message)
    assert shop.sent == []
