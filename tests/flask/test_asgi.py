"""The ASGI layer: the application behind it is served as by a WSGI server, and the runtime with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from flask import Flask, Response, request

from durably import SyncContext
from durably.errors import DurablyError, UsageError
from durably_flask import Durably
from durably_flask.asgi import FlaskAsgi, asgi


def make_app(**settings: Any) -> Flask:
    """Give an application with plain and durable views."""
    app = Flask("behind")
    durably = Durably(app, **settings)

    @app.post("/echo/<path:rest>")
    def echo(rest: str) -> Any:
        names = ("X-Some", "Cookie", "Content-Type")
        return {
            "path": request.path,
            "root": request.script_root,
            "args": request.args.to_dict(),
            "headers": [request.headers.get(name) for name in names],
            "body": request.get_data().hex(),
        }

    @app.get("/stream")
    def stream() -> Any:
        return Response(iter([b"a", b"", b"b"]), 203)

    @app.get("/broken")
    def broken() -> Any:
        def parts() -> Iterator[bytes]:
            yield b"a"
            raise RuntimeError("in the middle")

        return Response(parts())

    @app.post("/naps/<name>")
    @durably.endpoint
    def nap(name: str, context: SyncContext) -> str:
        context.sleep(timedelta(milliseconds=150))
        return name

    return app


@asynccontextmanager
async def serving(application: FlaskAsgi, root: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """Run the lifespan around a client."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    answers: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(application({"type": "lifespan"}, events.get, answers.put))
    await events.put({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(application, root_path=root, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://behind") as client:
        yield client
    await events.put({"type": "lifespan.shutdown"})
    assert (await answers.get())["type"] == "lifespan.shutdown.complete"
    await task


async def test_plain_views():
    """Method, path, query, headers and body arrive; streams are handed on; the lifespan runs the runtime."""
    app = make_app(url="memory://")
    state = app.extensions["durably"]
    async with serving(asgi(app)) as client:
        assert state.is_started
        sent = {"x-some": "\u00e4".encode("latin-1"), "cookie": "a=1", "content-type": "x/y"}
        answer = await client.post("/echo/a%20b/\u00e4?q=1", headers=sent, content=b"\xff" * 600_000)
        assert answer.json() == {
            "path": "/echo/a b/\u00e4",
            "root": "",
            "args": {"q": "1"},
            "headers": ["\u00e4", "a=1", "x/y"],
            "body": "ff" * 600_000,
        }
        streamed = await client.get("/stream")
        assert (streamed.status_code, streamed.text) == (203, "ab")
        assert (await client.get("/restate/health")).json() == {"status": "ok"}
        assert (await client.get("/nowhere")).status_code == 404
        assert (await client.post("/restate/invoke/a/b")).status_code == 404
    assert not state.is_started


async def test_a_mounted_application():
    """Below a prefix of the server the application sees that as its root."""
    async with serving(asgi(make_app(url="memory://")), root="/mounted") as client:
        answer = (await client.post("/mounted/echo/x")).json()
    assert (answer["path"], answer["root"]) == ("/echo/x", "/mounted")


async def test_callers_who_wait_hold_no_thread():
    """Many more callers wait for results than there are threads."""
    async with serving(asgi(make_app(url="memory://"), threads=2)) as client:
        names = [f"n{number}" for number in range(12)]
        answers = await asyncio.gather(*(client.post(f"/naps/{name}") for name in names))
        assert [answer.text for answer in answers] == names


async def test_a_failure_in_the_middle_of_an_answer():
    """It reaches the server, which ends the connection."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(event: Any) -> None:
        sent.append(event["type"])

    scope = {"type": "http", "method": "GET", "path": "/broken", "query_string": b"", "headers": []}
    with pytest.raises(RuntimeError, match="in the middle"):
        await asgi(make_app(url="memory://"))(scope, receive, send)
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_client_who_goes_away():
    """Nothing is run for a request that did not arrive whole."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await asgi(make_app(url="memory://"))(scope, receive, send)
    assert sent == []


async def test_other_scopes():
    """There are no websockets here; an application without `Durably` is refused."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    await asgi(make_app(url="memory://"))({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(UsageError, match="has no Durably"):
        asgi(Flask("plain"))


async def test_a_runtime_that_cannot_start(tmp_path: Any):
    """The server is told, and ends."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(event: Any) -> None:
        sent.append(event["type"])

    with pytest.raises(DurablyError):
        await asgi(make_app(url=f"sqlite:///{blocked / 'd.db'}"))({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.failed"]


async def test_discovery_streams_where_the_server_can():
    """With a server as the runtime, discovery is answered here, by what the web server can do."""
    app = make_app(url="http://127.0.0.1:9", allow_unsigned=True)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/restate/discover",
        "query_string": b"",
        "headers": [],
        "http_version": "2",
        "asgi": {"spec_version": "2.1"},
    }
    await asgi(app)(scope, receive, send)
    body = b"".join(event.get("body", b"") for event in sent)
    assert sent[0]["status"] == 200
    assert b"BIDI_STREAM" in body
    answer = app.test_client().get("/restate/discover").get_data()
    assert b"REQUEST_RESPONSE" in answer
    app.extensions["durably"].stop()
