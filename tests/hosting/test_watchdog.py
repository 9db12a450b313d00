"""The report on handlers that block the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from durably.hosting import watchdog
from durably.hosting.watchdog import LoopWatchdog, set_threshold, watchdog_of_running_loop

THRESHOLD_S = 0.04


class Attempt:
    """An attempt that runs in one task."""

    def __init__(self, task: asyncio.Task[Any] | None = None) -> None:
        self.task = task
        self.asked = 0

    def describe(self) -> str:
        self.asked += 1
        return "Greeter/greet inv_1abc"

    def owns(self, task: asyncio.Task[Any]) -> bool:
        return task is self.task


@pytest.fixture(autouse=True)
def short_threshold(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Report blocks of 40 ms, so that the tests need not block for seconds."""
    caplog.set_level(logging.WARNING, "durably.hosting.watchdog")
    set_threshold(timedelta(seconds=THRESHOLD_S))
    yield
    set_threshold(watchdog.DEFAULT_THRESHOLD)


def block_the_loop(seconds: float = THRESHOLD_S * 2) -> None:
    """Do what a handler should not do."""
    time.sleep(seconds)


def block_until_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Do it until somebody notices, however busy the machine is. Its name is looked for in the reported stack."""
    deadline_s = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline_s:
        time.sleep(THRESHOLD_S / 2)


async def settle() -> None:
    """Let the heartbeat that was late be answered."""
    await asyncio.sleep(0.01)


async def test_a_blocking_handler_is_named_with_its_stack_and_duration(caplog: pytest.LogCaptureFixture):
    """The warning says which handler and invocation, for how long, and where in the code."""
    found = watchdog_of_running_loop()
    attempt = Attempt(asyncio.current_task())
    found.enter(attempt)
    try:
        await asyncio.sleep(THRESHOLD_S / 2)
        block_until_reported(caplog)
        await settle()
    finally:
        found.leave(attempt)
    blocked, free = [record.getMessage() for record in caplog.records]
    assert "Greeter/greet inv_1abc" in blocked
    assert "block_until_reported" in blocked
    assert "blocked for 0." in blocked
    assert "free again after 0." in free


async def test_the_attempt_being_stepped_wins(caplog: pytest.LogCaptureFixture):
    """A driver that steps handlers by hand says whose code runs, whichever task that is."""
    found = watchdog_of_running_loop()
    attempt = Attempt()
    found.enter(attempt)
    found.current = attempt
    await asyncio.sleep(THRESHOLD_S / 2)
    block_until_reported(caplog)
    await settle()
    found.leave(attempt)
    assert found.current is None
    assert "Greeter/greet" in caplog.text


async def test_other_code_of_the_application_is_not_accused(caplog: pytest.LogCaptureFixture):
    """A block by the host's own task while an attempt is open is none of ours."""
    found = watchdog_of_running_loop()
    attempt = Attempt()
    found.enter(attempt)
    await asyncio.sleep(THRESHOLD_S / 2)
    block_the_loop()
    await settle()
    found.leave(attempt)
    assert caplog.records == []


async def test_a_handler_that_waits_is_not_reported(caplog: pytest.LogCaptureFixture):
    """Waiting long is what durable handlers do; only the loop's silence counts."""
    found = watchdog_of_running_loop()
    attempt = Attempt(asyncio.current_task())
    found.enter(attempt)
    await asyncio.sleep(THRESHOLD_S * 2)
    found.leave(attempt)
    assert caplog.records == []


async def test_threads_are_not_reported(caplog: pytest.LogCaptureFixture):
    """A handler in a thread may block as long as it likes."""
    found = watchdog_of_running_loop()
    attempt = Attempt(asyncio.current_task())
    found.enter(attempt)
    await asyncio.to_thread(block_the_loop)
    found.leave(attempt)
    assert caplog.records == []


async def test_nothing_is_watched_without_attempts(caplog: pytest.LogCaptureFixture):
    """A loop whose attempts have all ended gets no heartbeats and no reports."""
    found = watchdog_of_running_loop()
    attempt = Attempt(asyncio.current_task())
    found.enter(attempt)
    found.leave(attempt)
    found.leave(attempt)
    assert found.open_attempts == 0
    block_the_loop()
    await settle()
    assert caplog.records == []


async def test_none_switches_the_report_off(caplog: pytest.LogCaptureFixture):
    """The setting works in both directions while attempts are open."""
    found = watchdog_of_running_loop()
    attempt = Attempt(asyncio.current_task())
    set_threshold(None)
    await asyncio.sleep(THRESHOLD_S)  # the sampling thread notices at its next look
    found.enter(attempt)
    block_the_loop()
    assert caplog.records == []
    set_threshold(timedelta(seconds=THRESHOLD_S))
    await asyncio.sleep(THRESHOLD_S / 2)
    block_until_reported(caplog)
    await settle()
    found.leave(attempt)
    assert "Greeter/greet" in caplog.text


@pytest.mark.parametrize("threshold", [timedelta(0), timedelta(seconds=-1)])
def test_a_threshold_must_be_positive(threshold: timedelta):
    """Zero would report every step."""
    with pytest.raises(ValueError, match="positive"):
        set_threshold(threshold)


async def test_one_watchdog_for_each_loop():
    """Attempts of one loop share a watchdog; another thread's loop has its own."""
    mine = watchdog_of_running_loop()
    assert watchdog_of_running_loop() is mine

    async def theirs() -> LoopWatchdog:
        return watchdog_of_running_loop()

    assert await asyncio.to_thread(lambda: asyncio.run(theirs())) is not mine


async def test_a_closed_loop_is_forgotten():
    """An attempt that never left, on a loop that is gone, keeps neither the loop nor the thread busy."""

    async def leak() -> LoopWatchdog:
        found = watchdog_of_running_loop()
        found.enter(Attempt())
        return found

    found = await asyncio.to_thread(lambda: asyncio.run(leak()))
    assert found.sample(time.monotonic(), THRESHOLD_S) is False


async def test_the_sampling_thread_is_one_daemon():
    """One thread per process, and it never keeps the process alive."""
    found = watchdog_of_running_loop()
    attempt = Attempt()
    found.enter(attempt)
    threads = [thread for thread in threading.enumerate() if thread.name == "durably-watchdog"]
    found.leave(attempt)
    assert len(threads) == 1
    assert threads[0].daemon


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_its_own_thread():
    """A server that forks its workers after a first request still has the report in each of them."""
    loop = asyncio.new_event_loop()
    found = LoopWatchdog(loop, threading.get_ident())
    attempt = Attempt()
    found.enter(attempt)
    child = os.fork()
    if child == 0:  # pragma: no cover - measured in the parent
        found.enter(Attempt())
        names = [thread.name for thread in threading.enumerate()]
        os._exit(0 if "durably-watchdog" in names else 1)
    found.leave(attempt)
    loop.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
