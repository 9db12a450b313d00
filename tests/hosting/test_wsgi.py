"""The WSGI application: bodies, both kinds of handler, lengths and error answers."""

from __future__ import annotations

import contextvars
import io
import json
import threading
from typing import Any
from wsgiref.validate import validator

import pytest

from durably.endpoint import Endpoint
from durably.hosting.options import HostingOptions, Unsigned
from durably.hosting.wsgi import WsgiApp
from durably.protocol.messages import MessageType
from tests.hosting import wire
from tests.hosting.greeter import Greeter

T = MessageType


class Answer:
    """What a WSGI application answered."""

    def __init__(self, application: Any, environ: dict[str, Any]) -> None:
        """Call it as a server does."""
        self.status = ""
        self.headers: dict[str, str] = {}
        result = application(environ, self._start)
        self.body = b"".join(result)
        if hasattr(result, "close"):
            result.close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda _: None


def environ(path: str, body: bytes = b"", method: str = "POST", **entries: Any) -> dict[str, Any]:
    """Build an environ as gunicorn does, with a content type of version 6."""
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": wire.V6,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **entries,
    }


def ask(handler: str, body: bytes, greeter: Greeter | None = None, **entries: Any) -> Answer:
    """Run one attempt."""
    return Answer(WsgiApp((greeter or Greeter()).endpoint()), environ(f"/restate/invoke/{handler}", body, **entries))


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_an_invocation_is_answered_with_its_length(service: str):
    """Both kinds of handler work on a WSGI worker; the content type is exactly the request's."""
    answer = ask(f"{service}/greet", wire.fresh(b'"Ada"'))
    assert answer.status == "200 OK"
    assert answer.headers["content-type"] == wire.V6
    assert answer.headers["content-length"] == str(len(answer.body))
    output, end = wire.read(answer.body)
    assert output.message.value.content == b'"Hello Ada"'
    assert end.kind is T.END


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_each_step_takes_a_round(service: str):
    """Request-response: a step's result is proposed, the attempt suspends, the next one replays it."""
    first = ask(f"{service}/steps", wire.fresh(b"1"))
    assert wire.kinds(first.body) == [T.RUN, T.PROPOSE_RUN_COMPLETION, T.SUSPENSION]
    journal = wire.start(3) + wire.given(b"1") + wire.run_command(1, "step-0") + wire.run_completion(1, b"0")
    second = ask(f"{service}/steps", journal)
    assert wire.read(second.body)[0].message.value.content == b"0"


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_an_ordinary_exception_is_an_error_with_its_message(service: str):
    """The runtime learns why the attempt failed."""
    (error,) = wire.read(ask(f"{service}/fails", wire.fresh()).body)
    assert error.kind is T.ERROR
    assert "the shelf is empty" in error.message.message


def test_a_plain_handler_runs_on_the_workers_thread_in_its_context():
    """Thread-bound things of the host, such as database connections and context variables, are at hand."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    seen: list[Any] = []
    greeter = Greeter(hook=lambda: seen.extend((threading.current_thread(), variable.get())))
    ask("Plain/hooked", wire.fresh(), greeter)
    assert seen == [threading.current_thread(), "set"]


def test_an_async_handler_sees_the_context_variables_too():
    """The loop's thread works with a copy of the worker's context."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    seen: list[str] = []
    ask("Greeter/hooked", wire.fresh(), Greeter(hook=lambda: seen.append(variable.get())))
    assert seen == ["set"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", "200 OK"),
        ("HEAD", "/health", "200 OK"),
        ("GET", "/x/discover", "200 OK"),
        ("GET", "/nowhere", "404 Not Found"),
        ("POST", "/invoke/No/such", "404 Not Found"),
        ("POST", "/health", "405 Method Not Allowed"),
    ],
)
def test_other_requests(method: str, path: str, status: str):
    """Routing is the same as under ASGI; HEAD has no body."""
    answer = Answer(WsgiApp(Greeter().endpoint()), environ(path, method=method))
    assert answer.status == status
    assert answer.headers["x-restate-server"].startswith("durably/")
    assert (answer.body == b"") == (method == "HEAD")


def test_discovery_is_always_request_response():
    """Also on a WSGI server that speaks HTTP/2."""
    found = environ("/discover", method="GET", SERVER_PROTOCOL="HTTP/2")
    del found["CONTENT_TYPE"]
    answer = Answer(WsgiApp(Greeter().endpoint()), found)
    assert json.loads(answer.body)["protocolMode"] == "REQUEST_RESPONSE"


def test_a_refused_request_is_read_to_its_end():
    """Or the next request on the connection would begin in the middle of this one's body."""
    found = environ("/invoke/No/such", b"x" * 100_000)
    Answer(WsgiApp(Greeter().endpoint()), found)
    assert found["wsgi.input"].read() == b""


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_what_follows_a_malformed_message_is_read_away(service: str):
    """The answer is an Error message, and the connection stays usable."""
    answer_environ = environ(f"/invoke/{service}/greet", b"\xff" * 300_000)
    answer = Answer(WsgiApp(Greeter().endpoint()), answer_environ)
    assert wire.kinds(answer.body) == [T.ERROR]
    assert answer_environ["wsgi.input"].read() == b""


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_a_body_that_ends_early_is_400(service: str):
    """A cut request never passes for a short one."""
    body = wire.fresh(b'"Ada"')
    answer = ask(f"{service}/greet", body[:-3], CONTENT_LENGTH=str(len(body)))
    assert answer.status == "400 Bad Request"


class Gone(io.RawIOBase):
    """A stream whose peer went away."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("gone")


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
def test_a_peer_that_went_away_is_no_failure_of_ours(service: str, caplog: pytest.LogCaptureFixture):
    """No traceback; the answer goes nowhere."""
    ask(f"{service}/greet", b"", wsgi__input=None, **{"wsgi.input": Gone(), "CONTENT_LENGTH": "10"})
    assert "Traceback" not in caplog.text


def test_a_failure_of_ours_is_500(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """Answered without details, logged with them."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("durably.hosting.wsgi.run_sync_attempt", fail)
    answer = ask("Plain/greet", wire.fresh(b'"Ada"'))
    assert answer.status == "500 Internal Server Error"
    assert "secret" not in answer.body.decode()
    assert "secret detail" in caplog.text


def test_paths_are_decoded_as_utf8():
    """PEP 3333 hands over the path's bytes as Latin-1; a name that is not UTF-8 is simply unknown."""
    for path in ("/invoke/Gr\xc3\xa9/x", "/invoke/\xff\xfe/x", "/invoke/\u20ac/x"):
        assert Answer(WsgiApp(Greeter().endpoint()), environ(path)).status == "404 Not Found"


@pytest.mark.parametrize("path", ["/invoke/Greeter/greet", "/invoke/Plain/greet", "/nowhere"])
def test_the_specification_is_kept(path: str):
    """The standard library's validator finds nothing to complain about."""
    answer = Answer(validator(WsgiApp(Greeter().endpoint())), environ(path, wire.fresh(b'"Ada"')))
    assert answer.body


def test_helpers_run_steps_side_by_side():
    """A plain handler on a WSGI worker can start steps together; they run in helper threads."""
    from durably.authoring.endpoint import Endpoint
    from durably.authoring.services import Service
    from durably.authoring.sync_contexts import SyncContext
    from durably.sync import gather

    service = Service("Fan")
    meeting = threading.Barrier(2, timeout=5)

    @service.handler()
    def out(ctx: SyncContext) -> None:
        gather(ctx.start.run_typed("a", meeting.wait), ctx.start.run_typed("b", meeting.wait))

    answer = Answer(WsgiApp(Endpoint().bind(service)), environ("/invoke/Fan/out", wire.fresh()))
    assert wire.kinds(answer.body).count(T.PROPOSE_RUN_COMPLETION) == 2
    assert wire.kinds(answer.body)[-1] is T.SUSPENSION


@pytest.mark.parametrize(
    ("server", "peer", "status"),
    [("gunicorn/27", "127.0.0.1", "200"), ("waitress", "127.0.0.1", "401"), ("waitress", "192.0.2.1", "401")],
)
def test_a_server_that_hides_proxies_has_no_local_peers(server: str, peer: str, status: str):
    """Waitress drops the headers of proxies that it does not trust: a peer on this machine may be one."""
    app = WsgiApp(Endpoint(), HostingOptions(unsigned=Unsigned.LOOPBACK_ONLY))
    asked = environ("/discover", method="GET", SERVER_SOFTWARE=server, REMOTE_ADDR=peer)
    assert Answer(app, asked).status.startswith(status)
