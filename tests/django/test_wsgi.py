"""A WSGI worker that serves one request at a time is let go while its caller waits."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from durably_django import sync_client, wsgi
from durably_django.wsgi import DurableWsgi, get_wsgi_application
from tests.django.project.shop.models import Entry


class Worker:
    """Calls an application as gunicorn's `sync` workers do: it gets the socket of the caller."""

    def __init__(self, app: DurableWsgi) -> None:
        self.app = app
        self.mine, self.theirs = socket.socketpair()
        self.mine.settimeout(10)
        self.status = ""

    def environ(self, path: str, body: bytes = b"{}", **more: Any) -> dict[str, Any]:
        """Give the environment of a request."""
        return {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": path,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_COOKIE": f"csrftoken={'a' * 32}",
            "HTTP_X_CSRFTOKEN": "a" * 32,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.multithread": False,
            "gunicorn.socket": self.theirs,
            **more,
        }

    def call(self, environ: dict[str, Any]) -> bytes:
        """Serve a request; gives what the worker itself answered."""

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            self.status = status

        given: Any = self.app(environ, start_response)
        try:
            return b"".join(given)
        finally:
            getattr(given, "close", lambda: None)()

    def received(self) -> tuple[str, bytes]:
        """Give the head and the body that came on the connection, which is then at its end."""
        with self.theirs:  # what the server writes goes nowhere
            self.theirs.sendall(b"HTTP/1.1 202 Accepted")
        head, _, body = b"".join(iter(lambda: self.mine.recv(65536), b"")).partition(b"\r\n\r\n")
        return head.decode(), body


@pytest.fixture
def worker(quick_client: Client) -> Iterator[Worker]:
    """Give a worker with the project."""
    made = Worker(get_wsgi_application())
    yield made
    made.app.finish(10)
    made.mine.close()
    made.theirs.close()


def test_a_late_answer_comes_on_the_connection(worker: Worker):
    """The worker is free while the caller waits; the answer has passed the middleware, and ends the connection."""
    assert worker.call(worker.environ("/approve/late/")) == b""
    assert worker.status == "202 Accepted"
    while not (asked := Entry.objects.filter(text__startswith="asked late").first()):
        pass
    sync_client().resolve_awakeable(asked.text.split()[-1], "yes")
    head, body = worker.received()
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert {"Connection: close", "X-Content-Type-Options: nosniff", f"Content-Length: {len(body)}"} <= set(lines)
    assert body == b'{"answer": "yes"}'


def test_what_is_quick_is_answered_as_always(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    """The worker answers itself what is done within the grace, failures of middleware included."""
    monkeypatch.setattr(wsgi, "GRACE_S", 10)
    assert worker.call(worker.environ("/fail/terminal/")) == b'{"detail": "out of stock"}'
    assert worker.status.startswith("409")
    assert b"CSRF" in worker.call(worker.environ("/form/", HTTP_X_CSRFTOKEN="wrong", CONTENT_TYPE="text/plain"))
    assert worker.status.startswith("403")


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/methods/5/", {"wsgi.multithread": True}),
        ("/plain/fail/none/", {}),
        ("/no/such/path/", {}),
        ("/methods/5/", {"CONTENT_LENGTH": str(10**9)}),
        ("/methods/5/", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ("/methods/5/", {"gunicorn.socket": object()}),
    ],
)
def test_other_requests_stay_on_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, path: str, more: dict[str, Any]
):
    """What cannot wait, cannot be taken, or cannot be kept in memory is served where it came in."""
    monkeypatch.setattr(worker.app, "_serve_aside", None)
    worker.call(worker.environ(path, REQUEST_METHOD="GET", **more))
    assert worker.status[:3] in {"200", "404"}


def test_an_application_that_breaks_ends_the_connection(worker: Worker, caplog: pytest.LogCaptureFixture):
    """The caller gets a 500, and the log says why."""

    def broken(environ: Any, start_response: Any) -> Any:
        raise RuntimeError("out of order")

    worker.app.app = broken
    worker.call(worker.environ("/steps/x/"))
    assert worker.status == "500 Internal Server Error"
    assert "could not be served" in caplog.text
