"""A Flask application on an ASGI server: durable handlers stream, everything else is served as always.

    from durably_flask.asgi import asgi
    application = asgi(app)          # hypercorn wsgi:application

Owns the layer around the application, and the bridge to WSGI behind it. Where the server speaks HTTP/2, the runtime's
requests are streamed: a waiting handler holds a thread, not a connection for each step. Everything else is read whole
and served by a pool of threads; callers who wait for a result hold none of them.

| scope | path | goes to |
|---|---|---|
| `lifespan` | | the runtime, which starts and stops with the server |
| `http` | `{prefix}/discover`, `{prefix}/invoke/…` | the endpoint, streamed |
| `http` | other | the application, on a thread |
| `websocket` | | refused |
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Final

from flask import Flask

from durably.web.layers import path_below_mount, serve_lifespan
from durably.web.link import Link
from durably_flask.detaching import REPLY, ReplyLater
from durably_flask.state import AppState, state_of

__all__ = ["FlaskAsgi", "asgi"]

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Headers = list[tuple[str, str]]

_THREADS: Final = 32
_SPOOL_BYTES: Final = 512 * 1024
_END: Final = None


def asgi(app: Flask, *, threads: int = _THREADS) -> FlaskAsgi:
    """Give the ASGI application of a Flask application that has a `Durably`.

    Args:
        app: The application.
        threads: How many plain requests it serves at once.

    Raises:
        UsageError: It has no `Durably`.
    """
    return FlaskAsgi(app, state_of(app), threads)


class FlaskAsgi:
    """The ASGI layer; see the module."""

    def __init__(self, app: Flask, state: AppState, threads: int) -> None:
        """Stand before `app`."""
        self._app = app
        self._state = state
        self._pool = ThreadPoolExecutor(threads, "flask")

    @property
    def link(self) -> Link:
        """The way to the runtime of the application behind."""
        return self._state.link

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            state = self._state
            await serve_lifespan(
                receive, send, start=state.start, invoke_app=lambda: state.link.invoke_app, stop=self._stop
            )
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._http(scope, receive, send)

    def _stop(self) -> None:
        self._state.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_below_mount(scope)
        prefix = self._state.settings.prefix
        rest = path[len(prefix) :] if path.startswith(f"{prefix}/") else ""
        if rest == "/discover" or rest.startswith("/invoke/"):
            if not self._state.is_started:
                await asyncio.to_thread(self._state.try_start)
            invoke_app = self._state.link.invoke_app
            if invoke_app is not None:
                await invoke_app(scope, receive, send)
                return
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as body:
            if not await _read(receive, body):
                return
            await self._serve(_environ(scope, body), send)

    async def _serve(self, environ: dict[str, Any], send: Send) -> None:
        """Run the application on a thread; hand on what it gives as it gives it."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        def reply(status: str, headers: Headers, body: bytes) -> None:
            put(_start(status, headers))
            put({"type": "http.response.body", "body": body})
            put(_END)

        environ[REPLY] = ReplyLater(reply)
        running = loop.run_in_executor(self._pool, _run, self._app, environ, put)
        while (event := await events.get()) is not None:
            await send(event)
        await running


def _run(app: Flask, environ: dict[str, Any], put: Callable[[Event | None], None]) -> None:
    """Run the WSGI application to its end. One that lets its caller wait ends without an answer; that comes later."""
    started: list[Event] = []

    def start_response(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [_start(status, headers)]
        return lambda data: chunks.append(data)

    chunks: list[bytes] = []
    later: ReplyLater = environ[REPLY]
    is_sent = False
    try:
        found: Iterable[bytes] = app(environ, start_response)
        try:
            for chunk in found:
                if later.is_taken:
                    continue
                if not is_sent and started:
                    is_sent = True
                    put(started[0])
                if chunk:
                    put({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            close = getattr(found, "close", None)
            if close is not None:
                close()
        if later.is_taken:
            return
        if not is_sent:
            put(started[0])
        put({"type": "http.response.body", "body": b"".join(chunks)})
    except BaseException:
        put(_END)
        raise
    put(_END)


def _start(status: str, headers: Headers) -> Event:
    return {
        "type": "http.response.start",
        "status": int(status.split(" ", 1)[0]),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }


async def _read(receive: Receive, body: IO[bytes]) -> bool:
    """Read the request whole; gives False if the client went away."""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return False
        body.write(event.get("body") or b"")
        if not event.get("more_body", False):
            return True


def _environ(scope: Scope, body: IO[bytes]) -> dict[str, Any]:
    length = body.tell()
    body.seek(0)
    host, port = (scope.get("server") or ("localhost", 80))[:2]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": scope.get("root_path", "").encode("utf-8").decode("latin-1"),
        "PATH_INFO": path_below_mount(scope).encode("utf-8").decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("ascii"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "content-length":
            continue
        key = "CONTENT_TYPE" if name == "content-type" else f"HTTP_{name.upper().replace('-', '_')}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    return environ
