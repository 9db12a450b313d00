"""The carrier between an event loop and a handler's thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from durably.authoring.drivers import Disconnected
from durably.hosting.bridge import OUTPUT_LIMIT_BYTES, Bridge
from durably.hosting.thread_pool import ThreadPool

HELPERS = ThreadPool(4, "helper")


def bridge() -> Bridge:
    """Make a bridge to the running loop."""
    return Bridge(asyncio.get_running_loop(), HELPERS)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run the thread's side; a signal is given back instead of raised through the executor."""

    def call() -> Any:
        try:
            return function(*args)
        except Disconnected as signal:
            return signal

    return await asyncio.wait_for(asyncio.to_thread(call), 5)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the other thread sets no event
            await asyncio.sleep(0.001)


async def test_input_is_joined_and_ends_once():
    """What came meanwhile arrives together, the end comes after it."""
    found = bridge()
    found.feed(b"a")
    found.feed(b"b")
    found.feed_eof()
    found.feed(b"ignored after the end")
    assert await in_thread(found.receive) == b"ab"
    assert await in_thread(found.receive) is None


async def test_after_the_end_only_a_wake_returns():
    """A thread that waits for its own steps after the end of the request does not spin."""
    found = bridge()
    found.feed_eof()
    assert await in_thread(found.receive) is None
    waiting = asyncio.create_task(in_thread(found.receive))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    found.wake()
    assert await waiting == b""


async def test_a_wake_before_the_wait_is_not_lost():
    """A step may finish before the handler waits for it."""
    found = bridge()
    found.wake()
    assert await in_thread(found.receive) == b""


async def test_a_disconnect_wakes_the_thread_and_lasts():
    """A waiting thread is unwound at once, and every later wait too; output goes nowhere."""
    found = bridge()
    waiting = asyncio.create_task(in_thread(found.receive))
    await until(lambda: found.waiting_since_s is not None)
    found.disconnect()
    assert isinstance(await waiting, Disconnected)
    assert isinstance(await in_thread(found.receive), Disconnected)
    await in_thread(found.send, b"x")
    assert found.take_output() == (b"", False)


async def test_output_is_signalled_once_and_taken_whole():
    """Several writes between two looks of the loop cost one wake-up."""
    found = bridge()
    await in_thread(lambda: [found.send(b"a"), found.send(b"b")])
    await asyncio.wait_for(found.changed.wait(), 5)
    assert found.take_output() == (b"ab", False)
    assert not found.changed.is_set()


async def test_a_slow_reader_stops_the_thread_not_the_loop():
    """Unsent output is bounded: the thread waits until the loop has sent some."""
    found = bridge()
    sending = asyncio.create_task(in_thread(found.send, b"x" * (OUTPUT_LIMIT_BYTES + 1)))
    await asyncio.wait_for(found.changed.wait(), 5)
    await asyncio.sleep(0.01)
    assert not sending.done()
    assert len(found.take_output()[0]) == OUTPUT_LIMIT_BYTES + 1
    await sending


async def test_a_slow_reader_that_goes_away_frees_the_thread():
    """A thread that waits to send is unwound by the disconnect as well."""
    found = bridge()
    sending = asyncio.create_task(in_thread(found.send, b"x" * (OUTPUT_LIMIT_BYTES + 1)))
    await asyncio.wait_for(found.changed.wait(), 5)
    found.disconnect()
    await sending


async def test_finish_is_seen_by_the_loop():
    """The loop learns that the thread is done even when it sent nothing."""
    found = bridge()
    await in_thread(found.finish)
    await asyncio.wait_for(found.changed.wait(), 5)
    assert found.is_done
    assert found.take_output() == (b"", True)


async def test_the_end_is_not_lost_behind_output_already_signalled():
    """The thread may finish after the loop woke for its last output and before the loop took it."""
    found = bridge()
    await in_thread(found.send, b"x")
    await asyncio.wait_for(found.changed.wait(), 5)
    await in_thread(found.finish)
    assert found.take_output() == (b"x", True)


async def test_steps_keep_the_callers_context_variables():
    """A durable step in a helper thread sees what its handler sees."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    done = threading.Event()

    def step() -> None:
        seen.append(variable.get())
        done.set()

    variable.set("set")
    bridge().submit(step)
    assert await asyncio.to_thread(done.wait, 5)
    assert seen == ["set"]


async def test_a_disconnect_is_told_also_when_it_was_earlier():
    """A step that blocks in the thread can learn that nobody waits for it any more."""
    found, told = bridge(), []
    found.when_disconnected(lambda: told.append("in time"))
    assert told == []
    found.disconnect()
    found.when_disconnected(lambda: told.append("late"))
    assert told == ["in time", "late"]


async def test_waiting_is_visible_only_while_input_may_come():
    """The pool asks only attempts that wait for the runtime to suspend."""
    found = bridge()
    assert found.waiting_since_s is None
    waiting = asyncio.create_task(in_thread(found.receive))
    await until(lambda: found.waiting_since_s is not None)
    found.half_close()
    assert found.waiting_since_s is None
    assert await waiting is None


def test_a_closed_loop_looks_like_a_disconnect():
    """A thread that outlives its loop is unwound instead of failing in `call_soon_threadsafe`."""
    loop = asyncio.new_event_loop()
    found = Bridge(loop, HELPERS)
    loop.close()
    found.send(b"x")
    with pytest.raises(Disconnected):
        found.receive()
