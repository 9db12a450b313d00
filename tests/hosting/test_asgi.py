"""The ASGI application: heads, streams, error answers, lifespan, disconnects and signals."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from durably.errors import ConfigurationError
from durably.hosting import watchdog
from durably.hosting.asgi import AsgiApp
from durably.hosting.options import HostingOptions
from durably.protocol.messages import MessageType
from tests.hosting import wire
from tests.hosting.asgi_client import Exchange, ask, http_scope
from tests.hosting.greeter import Greeter

T = MessageType


def application(greeter: Greeter | None = None, **options: Any) -> AsgiApp:
    """Build an application."""
    return AsgiApp((greeter or Greeter()).endpoint(), HostingOptions(**options))


def call(app: AsgiApp, handler: str, **scope: Any) -> Exchange:
    """Start an invocation of `Service/handler` and leave its request open."""
    return Exchange(app, http_scope(path=f"/restate/invoke/{handler}", **scope))


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
async def test_an_invocation_is_answered(service: str):
    """Both kinds of handler write Output and End, and the response ends after the request did."""
    exchange = call(application(), f"{service}/greet")
    exchange.feed(wire.fresh(b'"Ada"'))
    await exchange.until(lambda: T.END in wire.kinds(exchange.body))
    assert exchange.status == 200
    assert exchange.headers["content-type"] == wire.V6
    assert exchange.headers["x-restate-server"].startswith("durably/")
    output, end = wire.read(exchange.body)
    assert output.message.value.content == b'"Hello Ada"'
    assert end.kind is T.END
    await asyncio.sleep(0.01)
    assert not exchange.has_ended, "the response ended before its request"
    exchange.end()
    await exchange.finished()
    assert exchange.has_ended


async def test_the_head_goes_out_before_the_journal_arrives():
    """The runtime sees a streaming answer at once; an empty chunk makes servers send a head they hold back."""
    exchange = call(application(), "Greeter/greet")
    await exchange.until(lambda: len(exchange.sent) == 2)
    assert exchange.sent[1] == {"type": "http.response.body", "body": b"", "more_body": True}
    exchange.disconnect()
    await exchange.finished()


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
@pytest.mark.parametrize("http_version", ["1.1", "2"])
async def test_a_whole_request_works_in_both_modes(service: str, http_version: str):
    """With the request complete from the start a durable step suspends the attempt; its replay finishes it."""
    app = application()
    first = await ask(app, wire.fresh(b"1"), path=f"/invoke/{service}/steps", http_version=http_version)
    assert wire.kinds(first.body) == [T.RUN, T.PROPOSE_RUN_COMPLETION, T.SUSPENSION]
    journal = wire.start(3) + wire.given(b"1") + wire.run_command(1, "step-0") + wire.run_completion(1, b"0")
    second = await ask(app, journal, path=f"/invoke/{service}/steps", http_version=http_version)
    assert wire.read(second.body)[0].message.value.content == b"0"


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
async def test_streaming_goes_on_within_one_attempt(service: str):
    """While the request is open the results of steps come in on it."""
    exchange = call(application(), f"{service}/steps")
    exchange.feed(wire.fresh(b"2"))
    for index in range(2):
        await exchange.until(lambda index=index: wire.kinds(exchange.body).count(T.PROPOSE_RUN_COMPLETION) == index + 1)
        exchange.feed(wire.run_completion(index + 1, b"%d" % index))
    await exchange.until(lambda: T.END in wire.kinds(exchange.body))
    exchange.end()
    await exchange.finished()
    assert wire.read(exchange.body)[-2].message.value.content == b"1"


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
async def test_an_ordinary_exception_is_an_error_with_its_message(service: str):
    """The attempt fails and the runtime learns why; nothing ends the invocation."""
    exchange = await ask(application(), wire.fresh(), path=f"/invoke/{service}/fails")
    (error,) = wire.read(exchange.body)
    assert error.kind is T.ERROR
    assert "the shelf is empty" in error.message.message


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/discover", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/invoke/No/such", 404),
        ("PUT", "/invoke/Greeter/greet", 405),
    ],
)
async def test_answers_have_their_length(method: str, path: str, status: int):
    """Complete answers say how long they are and name the server."""
    exchange = await ask(application(), method=method, path=path)
    assert exchange.status == status
    assert exchange.headers["content-length"] == str(len(exchange.body))
    assert exchange.has_ended


async def test_head_on_health_has_no_body():
    """A load balancer that probes with HEAD gets the head of the answer."""
    exchange = await ask(application(), method="HEAD", path="/health")
    assert (exchange.status, exchange.body) == (200, b"")


async def test_a_wrong_content_type_is_415_before_the_body():
    """The status goes out while the request is open, and the response ends after it, or within a second."""
    exchange = call(application(), "Greeter/greet", headers=[("content-type", "application/json")])
    await exchange.until(lambda: len(exchange.sent) == 2)
    assert exchange.status == 415
    assert not exchange.has_ended
    exchange.feed(b"x" * 100)
    exchange.end()
    await exchange.finished()
    assert exchange.has_ended


async def test_a_refused_peer_that_goes_away_is_let_go():
    """Nobody waits for the rest of a request that was cut."""
    exchange = call(application(), "No/such")
    await exchange.until(lambda: len(exchange.sent) == 2)
    exchange.disconnect()
    await exchange.finished()
    assert not exchange.has_ended


async def test_routing_that_fails_is_500(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """A mistake of our own is answered without details and logged with them."""
    app = application()
    greeter_endpoint: Any = app._endpoint  # pyright: ignore[reportPrivateUsage]

    def fail(*_: str) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(greeter_endpoint, "find", fail)
    exchange = await ask(app, path="/invoke/Greeter/greet")
    assert exchange.status == 500
    assert json.loads(exchange.body) == {"message": "internal error"}
    assert "secret detail" in caplog.text


async def test_a_websocket_is_refused():
    """It is closed before it is accepted, which servers answer with 403."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(event: Any) -> None:
        sent.append(event)

    await application()({"type": "websocket", "path": "/"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_an_unknown_scope_is_refused_loudly():
    """The specification asks an application to raise for what it does not know."""

    async def nothing(*_: Any) -> Any:
        return None

    with pytest.raises(ConfigurationError, match="telnet"):
        await application()({"type": "telnet"}, nothing, nothing)


class Lifespan:
    """Plays the server's side of a lifespan."""

    def __init__(self, app: AsgiApp) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.create_task(app({"type": "lifespan"}, self.events.get, self.sent.put))

    async def say(self, event: str) -> str:
        self.events.put_nowait({"type": f"lifespan.{event}"})
        async with asyncio.timeout(5):
            return (await self.sent.get())["type"]


async def test_the_lifespan_is_answered_properly():
    """Startup and shutdown complete, and the application returns."""
    lifespan = Lifespan(application())
    assert await lifespan.say("startup") == "lifespan.startup.complete"
    assert await lifespan.say("shutdown") == "lifespan.shutdown.complete"
    await asyncio.wait_for(lifespan.task, 5)


async def test_shutdown_waits_for_open_attempts():
    """An attempt that ends within the grace is not cut."""
    app = application()
    lifespan = Lifespan(app)
    await lifespan.say("startup")
    exchange = call(app, "Greeter/waits")
    exchange.feed(wire.fresh())
    await asyncio.sleep(0.01)
    shutdown = asyncio.create_task(lifespan.say("shutdown"))
    await asyncio.sleep(0.01)
    assert not shutdown.done()
    exchange.end()
    await exchange.finished()
    assert await shutdown == "lifespan.shutdown.complete"
    assert wire.kinds(exchange.body)[-1] is T.SUSPENSION


async def test_shutdown_is_bounded():
    """An attempt that stays open holds the server for the grace only; a handler in a thread is unwound."""
    greeter = Greeter()
    app = application(greeter, shutdown_grace=timedelta(seconds=0.02))
    lifespan = Lifespan(app)
    exchange = call(app, "Plain/waits")
    exchange.feed(wire.fresh())
    assert await asyncio.to_thread(greeter.entered.acquire, timeout=5)
    assert await lifespan.say("shutdown") == "lifespan.shutdown.complete"
    await exchange.finished()
    await _until(lambda: greeter.notes == ["unwound"])


@pytest.mark.parametrize("handler", ["Greeter/waits", "Greeter/acts", "Plain/waits"])
async def test_a_disconnect_unwinds_the_handler_at_once(handler: str):
    """Waiting for the runtime, in the action of a step, or in a thread: no task is left and nothing is sent."""
    greeter = Greeter()
    app = application(greeter)
    before = asyncio.all_tasks()
    exchange = call(app, handler)
    exchange.feed(wire.fresh())
    await _until(lambda: app.open_attempts == 1)
    await asyncio.sleep(0.02)
    exchange.disconnect()
    await exchange.finished(1)
    await _until(lambda: greeter.notes == ["unwound"])
    assert app.open_attempts == 0
    assert asyncio.all_tasks() == before
    assert not exchange.has_ended


@pytest.mark.parametrize("handler", ["Greeter/acts"])
async def test_a_disconnect_after_the_request_ended_is_seen_too(handler: str):
    """In request-response mode the peer may go away while a step runs: its action is cancelled at once."""
    greeter = Greeter()
    app = application(greeter)
    exchange = call(app, handler)
    exchange.end(wire.fresh())
    await asyncio.to_thread(greeter.entered.acquire, timeout=5)
    exchange.disconnect()
    await exchange.finished(1)
    assert greeter.notes == ["unwound"]


async def test_the_end_of_an_attempt_frees_its_memory():
    """Nothing of an attempt is kept by the application, also not by the thread that ran it."""

    def held() -> list[object]:
        gc.collect()
        return [found for found in gc.get_objects() if type(found).__name__ in ("Machine", "Bridge", "AsgiChannel")]

    of_other_tests = held()
    app = application()
    await ask(app, wire.fresh(b'"Ada"'), path="/invoke/Plain/greet")
    await ask(app, wire.fresh(b'"Ada"'), path="/invoke/Greeter/greet")
    await asyncio.sleep(0.05)
    assert [found for found in held() if not any(found is other for other in of_other_tests)] == []


async def test_signal_handlers_are_never_touched():
    """Stopping is the server's business: neither building, nor serving, nor the lifespan changes a handler."""
    watched = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    before = [signal.getsignal(number) for number in watched]
    app = application()
    lifespan = Lifespan(app)
    await lifespan.say("startup")
    await ask(app, wire.fresh(b'"Ada"'), path="/invoke/Greeter/greet")
    await ask(app, wire.fresh(b'"Ada"'), path="/invoke/Plain/greet")
    await lifespan.say("shutdown")
    assert [signal.getsignal(number) for number in watched] == before
    assert threading.current_thread() is threading.main_thread()


async def test_a_server_that_raises_from_send_is_no_error():
    """Some servers raise once the peer is gone; that ends the attempt silently."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": wire.fresh(b'"Ada"'), "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        if event["type"] == "http.response.body":
            raise ConnectionResetError("gone")

    app = application()
    for service in ("Greeter", "Plain"):
        await asyncio.wait_for(app(http_scope(path=f"/invoke/{service}/greet"), receive, send), 5)
    await asyncio.wait_for(app(http_scope(path="/nowhere"), receive, send), 5)
    assert app.open_attempts == 0


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - handlers in threads set no event
            await asyncio.sleep(0.001)


@pytest.fixture
def impatient_watchdog():
    """Report after 60 ms; afterwards as always."""
    yield timedelta(seconds=0.06)
    watchdog.set_threshold(watchdog.DEFAULT_THRESHOLD)


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
async def test_only_handlers_on_the_loop_are_reported_for_blocking(
    service: str, impatient_watchdog: timedelta, caplog: pytest.LogCaptureFixture
):
    """An async handler that blocks is named with its invocation and stack; a plain one may block."""

    def block_the_loop() -> None:
        time.sleep(0.15)

    greeter = Greeter(hook=block_the_loop)
    app = application(greeter, blocked_after=impatient_watchdog)
    background = call(app, "Greeter/waits")
    background.feed(wire.fresh())
    await asyncio.sleep(0.02)
    await ask(app, wire.fresh(), path=f"/invoke/{service}/hooked")
    await asyncio.sleep(0.01)
    background.disconnect()
    await background.finished()
    reports = [record.getMessage() for record in caplog.records if "blocked for" in record.getMessage()]
    if service == "Plain":
        assert reports == []
    else:
        (report,) = reports
        assert "Greeter/hooked" in report
        assert "inv_test" in report
        assert "block_the_loop" in report
