"""A worker that serves one request at a time is let go while its caller waits."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, abort
from flask.wrappers import Response

from durably import SyncContext, TerminalError
from durably.web.handover import connection_of
from durably_flask import Durably, detaching
from durably_flask.detaching import ReplyLater, can_detach, finish_detached


def environ_of(connection: socket.socket, path: str, method: str = "POST") -> dict[str, Any]:
    """Give what gunicorn's `sync` worker hands to an application."""
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.multithread": False,
        "gunicorn.socket": connection,
    }


class Worker:
    """A worker as gunicorn's `sync` ones are: it hands its socket to the application."""

    def __init__(self, app: Flask, release: threading.Event) -> None:
        self.app = app
        self._release = release

    def call(self, path: str, method: str = "POST") -> tuple[bool, str]:
        """Give whether the worker was let go, and the answer that came on the connection."""
        mine, theirs = socket.socketpair()
        environ = environ_of(theirs, path, method)
        given: list[str] = []
        with mine:
            mine.settimeout(10)
            body = b"".join(self.app(environ, lambda status, headers: given.append(status)))
            if given == ["202 Accepted"]:
                with theirs:  # what the server writes, and how it ends the connection
                    theirs.sendall(b"HTTP/1.1 202 Accepted")
                    theirs.shutdown(socket.SHUT_WR)
                    assert theirs.recv(10) == b""
                self._release.set()
                parts = iter(lambda: mine.recv(65536), b"")
                return True, b"".join(parts).decode()
            theirs.close()
            return False, f"{given[0]}\r\n\r\n{body.decode()}"


@pytest.fixture
def release() -> threading.Event:
    """Give what lets the views go on."""
    return threading.Event()


@pytest.fixture
def worker(release: threading.Event) -> Iterator[Worker]:
    """Give a worker with an application whose views wait."""
    app = Flask("waiting")
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    durably = Durably(app, url="memory://")

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers.add("x-stamp", "seen")
        return response

    @app.errorhandler(409)
    def conflict(error: Exception) -> Any:
        raise RuntimeError("the handler failed")

    @app.route("/wait/<how>", methods=["POST", "GET"])
    @durably.endpoint
    def wait(how: str, context: SyncContext) -> Any:
        if how != "quick":
            release.wait(10)
        match how:
            case "refuse":
                abort(404, "gone")
            case "fail":
                raise TerminalError("no", status_code=410)
            case "conflict":
                raise TerminalError("no", status_code=409)
        return f"waited {how}", 201

    yield Worker(app, release)
    release.set()
    durably.stop(app)


def test_a_quick_answer_is_given_as_always(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    """What is done in time is answered by the worker itself."""
    monkeypatch.setattr(detaching, "GRACE_S", 10)
    was_let_go, answer = worker.call("/wait/quick")
    assert not was_let_go
    assert answer == "201 CREATED\r\n\r\nwaited quick"


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("long", "201 CREATED", "waited long"),
        ("refuse", "404 NOT FOUND", "gone"),
        ("fail", "410 GONE", "no"),
        ("conflict", "500 INTERNAL SERVER ERROR", "Internal Server Error"),
    ],
)
def test_a_late_answer_comes_on_the_connection(worker: Worker, how: str, status: str, text: str):
    """Status, headers and body are those of an ordinary answer, refusals and failing error handlers included."""
    was_let_go, answer = worker.call(f"/wait/{how}")
    assert was_let_go
    head, _, body = answer.partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == f"HTTP/1.1 {status}"
    assert lines.count("x-stamp: seen") == 1
    assert "Connection: close" in lines
    assert f"Content-Length: {len(body.encode())}" in lines
    assert text in body


def test_what_cannot_be_answered_is_a_500(worker: Worker, caplog: pytest.LogCaptureFixture):
    """An application that lets exceptions through, as one under debugging does, still ends the connection."""
    worker.app.config["PROPAGATE_EXCEPTIONS"] = True
    was_let_go, answer = worker.call("/wait/conflict")
    assert was_let_go
    assert answer.startswith("HTTP/1.1 500 INTERNAL SERVER ERROR\r\nContent-Length: 0\r\n")
    assert "could not be answered" in caplog.text


def test_a_caller_who_went_away(worker: Worker, release: threading.Event, caplog: pytest.LogCaptureFixture):
    """Nobody is bothered."""
    mine, theirs = socket.socketpair()
    environ = environ_of(theirs, "/wait/long")
    list(worker.app(environ, lambda status, headers: None))
    theirs.close()
    mine.close()
    release.set()
    finish_detached(10)
    assert "could not be answered" not in caplog.text


def test_who_can_be_let_go(monkeypatch: pytest.MonkeyPatch):
    """Workers with threads hold the caller themselves, and so do those whose connection cannot be handed over."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        environ: dict[str, Any] = {"wsgi.multithread": False, "gunicorn.socket": theirs}
        assert can_detach(environ)
        assert not can_detach({**environ, "wsgi.multithread": True})
        assert not can_detach({"wsgi.multithread": False})
        assert not can_detach({"wsgi.multithread": False, "gunicorn.socket": object()})
        assert can_detach({"durably.reply": ReplyLater(print)})
        monkeypatch.setattr(detaching, "MAX_WAITING", 0)
        assert not can_detach(environ)


def test_connections_of_uwsgi(monkeypatch: pytest.MonkeyPatch):
    """UWSGI's module tells the connection of a worker without threads; one that is encrypted stays where it is."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        options: dict[str, object] = {}
        module = SimpleNamespace(opt=options, connection_fd=theirs.fileno)
        environ: dict[str, Any] = {"wsgi.multithread": False, "uwsgi.version": b"2.0.30"}
        assert not can_detach(environ)
        monkeypatch.setitem(sys.modules, "uwsgi", module)
        assert connection_of(environ) == theirs.fileno()
        assert can_detach(environ)
        assert not can_detach({**environ, "wsgi.multithread": True})
        assert connection_of({"wsgi.multithread": False}) is None
        options["https-socket"] = "127.0.0.1:443,cert,key"
        assert connection_of(environ) is None
        options.clear()
        module.connection_fd = lambda: -1
        assert connection_of(environ) is None


def test_patience_where_the_worker_is_needed():
    """With a server as the runtime a caller who holds the only thread gets a 202 after a while, unless asked."""
    app = Flask("remote")
    Durably(app, url="http://127.0.0.1:9", secret_key="long enough for a secret")
    from durably_flask.endpoint import _preference

    state = app.extensions["durably"]
    for environ, headers, expected in (
        ({"wsgi.multithread": False}, {}, "wait=10"),
        ({"wsgi.multithread": True}, {}, None),
        ({"wsgi.multithread": False}, {"Prefer": "respond-async"}, "respond-async"),
    ):
        with app.test_request_context(environ_overrides=environ, headers=headers):
            assert _preference(state, is_detachable=False) == expected
            assert _preference(state, is_detachable=True) == (headers.get("Prefer"))
