"""Plain handlers in the bounded pool: isolation from the loop, context variables, and a full pool."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from durably.hosting import threaded
from durably.hosting.asgi import AsgiApp
from durably.hosting.options import HostingOptions
from durably.hosting.threaded import ThreadedDriver
from durably.protocol.messages import MessageType
from tests.hosting import wire
from tests.hosting.asgi_client import Exchange, ask, http_scope
from tests.hosting.greeter import Greeter

T = MessageType
request_id = contextvars.ContextVar("request_id", default="unset")


def start(app: Any, handler: str, body: bytes = b"null", *, ended: bool = False) -> Exchange:
    """Start an invocation of a plain handler."""
    exchange = Exchange(app, http_scope(path=f"/invoke/Plain/{handler}"))
    if ended:
        exchange.end(wire.fresh(body))
    else:
        exchange.feed(wire.fresh(body))
    return exchange


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - handlers in threads set no event
            await asyncio.sleep(0.001)


async def entered(greeter: Greeter) -> None:
    """Wait until one more handler is inside."""
    assert await asyncio.to_thread(greeter.entered.acquire, timeout=5)


async def test_the_handler_runs_outside_the_loop_with_the_requests_context_variables():
    """What a middleware set is seen in the thread, and what the handler sets stays there."""
    greeter = Greeter()
    seen: list[Any] = []

    def hook() -> None:
        seen.extend((request_id.get(), threading.current_thread() is threading.main_thread()))
        request_id.set("changed")

    greeter.hook = hook
    app = AsgiApp(greeter.endpoint())
    request_id.set("r-1")
    await start(app, "hooked", ended=True).finished()
    assert seen == ["r-1", False]
    assert request_id.get() == "r-1"


async def test_a_blocking_handler_leaves_the_loop_free():
    """While a plain handler blocks, others are served."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=2))
    blocked = start(app, "blocks", ended=True)
    await entered(greeter)
    exchange = await ask(app, wire.fresh(b'"Ada"'), path="/invoke/Greeter/greet")
    assert T.END in wire.kinds(exchange.body)
    assert not blocked.task.done()
    greeter.gate.set()
    assert T.END in wire.kinds(await blocked.finished())


async def test_attempts_queue_when_the_pool_is_full():
    """No more than `threads` run at once; the others wait their turn and all are answered."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=2))
    exchanges = [start(app, "blocks", ended=True) for _ in range(5)]
    await entered(greeter)
    await entered(greeter)
    await asyncio.sleep(0.02)
    assert not greeter.entered.acquire(blocking=False)
    greeter.gate.set()
    bodies = [await exchange.finished() for exchange in exchanges]
    assert all(T.END in wire.kinds(body) for body in bodies)


async def test_an_attempt_that_queues_for_long_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The log names the handler, the pool's size and what to do."""
    monkeypatch.setattr(threaded, "_QUEUE_WARNING_S", 0.02)
    monkeypatch.setattr(threaded, "_RELIEF_INTERVAL_S", 0.01)
    caplog.set_level(logging.WARNING, "durably.hosting.threaded")
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=1))
    exchanges = [start(app, "blocks", ended=True) for _ in range(2)]
    await until(lambda: "for a thread" in caplog.text)
    greeter.gate.set()
    for exchange in exchanges:
        await exchange.finished()
    (line,) = [record.getMessage() for record in caplog.records if "for a thread" in record.getMessage()]
    assert line.startswith("Plain/blocks has waited")
    assert "Raise `threads`" in line


async def test_a_full_pool_of_waiting_handlers_is_no_deadlock():
    """Handlers that wait for the runtime hold all threads; the one that waits longest suspends for the queue's sake."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=2))
    waiting = [start(app, "waits"), start(app, "waits")]
    await entered(greeter)
    await entered(greeter)
    await asyncio.sleep(0.06)
    started_s = time.monotonic()
    exchange = start(app, "greet", b'"Ada"', ended=True)
    assert T.END in wire.kinds(await exchange.finished())
    assert time.monotonic() - started_s < 2
    suspended = [T.SUSPENSION in wire.kinds(found.body) for found in waiting]
    assert sorted(suspended) == [False, True]
    for found in waiting:
        found.end()
        await found.finished()


async def test_handlers_are_not_suspended_without_need():
    """As long as a thread is free, waiting attempts keep their streams."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=3))
    waiting = [start(app, "waits"), start(app, "waits")]
    await entered(greeter)
    await entered(greeter)
    await asyncio.sleep(0.06)
    await start(app, "greet", b'"Ada"', ended=True).finished()
    assert [found.body for found in waiting] == [b"", b""]
    for found in waiting:
        found.disconnect()
        await found.finished()


async def test_relief_needs_an_attempt_that_waits():
    """Handlers that work are left alone."""
    assert ThreadedDriver(Greeter().endpoint(), 1).relieve() is False


async def test_a_disconnect_while_queued_never_runs_the_handler():
    """The runtime has given up on this attempt; running it would only repeat its effects."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=1))
    blocked = start(app, "blocks", ended=True)
    await entered(greeter)
    calls: list[int] = []
    greeter.hook = lambda: calls.append(1)
    queued = start(app, "hooked", ended=True)
    await asyncio.sleep(0.01)
    queued.disconnect()
    await queued.finished()
    greeter.gate.set()
    await blocked.finished()
    await start(app, "greet", b'"Ada"', ended=True).finished()
    assert calls == []


async def test_a_disconnect_does_not_wait_for_a_busy_thread():
    """The server's task is free at once; the thread notices when it comes back, and is used again."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint(), HostingOptions(threads=1))
    busy = start(app, "blocks")
    await entered(greeter)
    busy.disconnect()
    await busy.finished(1)
    assert app.open_attempts == 0
    greeter.gate.set()
    assert T.END in wire.kinds(await start(app, "greet", b'"Ada"', ended=True).finished())


async def test_a_blocking_step_can_see_that_its_attempt_is_over():
    """A thread cannot be interrupted, but a step that looks at the attempt's event ends with the connection."""
    greeter = Greeter()
    exchange = start(AsgiApp(greeter.endpoint()), "patient")
    await entered(greeter)
    exchange.disconnect()
    await exchange.finished(1)
    await until(lambda: greeter.notes == [True])


async def test_a_cancelled_server_task_unwinds_the_thread():
    """A server that stops cancels the application; the waiting thread does not stay behind."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint())
    exchange = start(app, "waits")
    await entered(greeter)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task
    await until(lambda: greeter.notes == ["unwound"])


async def test_malformed_bodies_never_reach_a_thread(caplog: pytest.LogCaptureFixture):
    """The journal is read on the loop first: a flood of bad bodies cannot use up the pool."""
    app = AsgiApp(Greeter().endpoint(), HostingOptions(threads=1))
    exchange = Exchange(app, http_scope(path="/invoke/Plain/greet"))
    exchange.end(b"\xff" * 64)
    assert wire.kinds(await exchange.finished()) == [T.ERROR]
    assert app._threaded.pool.thread_count == 0  # pyright: ignore[reportPrivateUsage]
    assert caplog.text.count("kind=malformed_body") == 1


async def test_a_slow_journal_is_fed_in_any_pieces():
    """One byte at a time gives the same answer as the whole."""
    app = AsgiApp(Greeter().endpoint())
    exchange = Exchange(app, http_scope(path="/invoke/Plain/greet"))
    for byte in wire.fresh(b'"Ada"'):
        exchange.feed(bytes([byte]))
        exchange.feed(b"")
    exchange.end()
    assert wire.read(await exchange.finished())[0].message.value.content == b'"Hello Ada"'


async def test_a_driver_that_fails_is_answered_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A mistake of our own fails the attempt instead of leaving the stream without an end."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(threaded, "run_sync_attempt", fail)
    exchange = start(AsgiApp(Greeter().endpoint()), "greet", b'"Ada"', ended=True)
    (error,) = wire.read(await exchange.finished())
    assert error.kind is T.ERROR
    assert "secret" not in error.message.message
    assert "secret detail" in caplog.text


async def test_a_server_that_fails_to_read_is_a_disconnect():
    """Some servers raise from `receive` when the peer is gone; the thread is unwound all the same."""
    greeter = Greeter()
    app = AsgiApp(greeter.endpoint())
    events = [{"type": "http.request", "body": wire.fresh(), "more_body": True}]

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop()
        await entered(greeter)
        raise ConnectionResetError("gone")

    async def send(event: Any) -> None:
        pass

    await asyncio.wait_for(app(http_scope(path="/invoke/Plain/waits"), receive, send), 5)
    await until(lambda: greeter.notes == ["unwound"])
