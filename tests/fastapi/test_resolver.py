"""The resolvers by themselves: threads, cancellation, and event loops that end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from durably.errors import DurablyError, SuspendedException
from durably_fastapi.blocking_resolver import LoopSide
from durably_fastapi.resolver import InThread


async def test_signals_reach_managers_in_threads():
    """A suspension, which is no `Exception`, is thrown into the dependency like any other."""
    seen: list[str] = []

    @contextmanager
    def manager() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    with pytest.raises(SuspendedException):
        async with InThread(manager()):
            raise SuspendedException
    assert seen == ["SuspendedException"]


async def test_what_was_opened_while_cancelled_is_closed():
    """A task that is cancelled while a thread still opens waits for the thread, and closes what it opened."""
    may_open, is_opening = threading.Event(), threading.Event()
    seen: list[str] = []

    @contextmanager
    def manager() -> Iterator[None]:
        is_opening.set()
        may_open.wait(5)
        seen.append("open")
        try:
            yield
        finally:
            seen.append("close")

    async def use() -> None:
        async with InThread(manager()):
            seen.append("used")

    task = asyncio.create_task(use())
    await asyncio.to_thread(is_opening.wait, 5)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["open", "close"]


async def test_a_failure_while_cancelled_is_no_resource():
    """A dependency that fails to open while its task is cancelled leaves nothing to close."""
    may_fail, is_opening = threading.Event(), threading.Event()

    @contextmanager
    def manager() -> Iterator[None]:
        is_opening.set()
        may_fail.wait(5)
        raise ConnectionError
        yield

    async def use() -> None:
        async with InThread(manager()):
            pass

    task = asyncio.create_task(use())
    await asyncio.to_thread(is_opening.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    may_fail.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_task_for_all_jobs():
    """All that a thread has awaited runs in one task, on the given loop; failures come back to the thread."""
    here = asyncio.get_running_loop()
    tasks: list[object] = []

    async def job() -> int:
        tasks.append((asyncio.current_task(), asyncio.get_running_loop() is here))
        if len(tasks) == 2:
            raise KeyError
        return len(tasks)

    def thread() -> None:
        side = LoopSide(lambda: here)
        assert side.run(job) == 1
        with pytest.raises(KeyError):
            side.run(job)
        assert side.run(job) == 3
        side.close()

    await asyncio.to_thread(thread)
    assert len(set(tasks)) == 1
    assert isinstance(tasks[0], tuple)
    assert tasks[0][1] is True


def test_a_loop_that_ends_is_noticed():
    """A thread that waits for a loop that has stopped gets an error instead of waiting for ever."""
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()
    side = LoopSide(lambda: loop)

    async def never() -> None:
        loop.call_soon(loop.stop)
        await asyncio.Event().wait()

    with pytest.raises(DurablyError, match="event loop ended"):
        side.run(never)
    runner.join(5)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    side.close()


def test_without_a_loop_the_process_has_one():
    """Where nobody knows the application's loop, asynchronous dependencies run on the process's own."""
    side = LoopSide(lambda: None)

    async def job() -> str:
        return threading.current_thread().name

    assert side.run(job) == "durably-loop"
    side.close()
