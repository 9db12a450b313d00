"""Time limits of equal length, on a loop whose clock the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from durably.hosting.deadlines import Deadline, Deadlines, deadlines_of


class TurnedLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait: its clock goes on by what it was asked to wait."""

    def __init__(self) -> None:
        """Begin at zero."""
        super().__init__()
        self.now_s = 0.0
        self.timers = 0

    def time(self) -> float:
        """Give the turned time."""
        return self.now_s

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        """Count timers."""
        self.timers += 1
        return super().call_later(delay, callback, *args, context=context)

    def turn(self, by_s: float) -> None:
        """Let time pass."""
        self.now_s += by_s


def run(work: Callable[[TurnedLoop], Awaitable[None]]) -> None:
    """Run `work` on a turned loop."""
    loop = TurnedLoop()
    try:
        loop.run_until_complete(work(loop))
    finally:
        loop.close()


async def settle() -> None:
    """Let the loop look at its timers."""
    for _ in range(4):
        await asyncio.sleep(0)


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    """Nothing is cancelled later on behalf of a block that has ended."""

    async def work(loop: TurnedLoop) -> None:
        deadlines = Deadlines(loop, 10.0)
        task = asyncio.current_task()
        assert task is not None
        with Deadline(deadlines, task):
            await asyncio.sleep(0)
        loop.turn(20)
        await settle()
        assert task.cancelling() == 0

    run(work)


def test_a_block_that_lasts_too_long_raises() -> None:
    """The waiting inside is cancelled, and the block raises TimeoutError instead of the cancellation."""

    async def work(loop: TurnedLoop) -> None:
        deadlines = Deadlines(loop, 10.0)

        async def waiter() -> None:
            task = asyncio.current_task()
            assert task is not None
            with Deadline(deadlines, task):
                await asyncio.Event().wait()

        waiting = asyncio.ensure_future(waiter())
        await settle()
        loop.turn(9)
        await settle()
        assert not waiting.done()
        loop.turn(2)
        await settle()
        with pytest.raises(TimeoutError):
            await waiting
        assert waiting.cancelling() == 0

    run(work)


def test_someone_elses_cancellation_passes() -> None:
    """A task that is cancelled by its server is not told that it was too slow."""

    async def work(loop: TurnedLoop) -> None:
        deadlines = Deadlines(loop, 10.0)

        async def waiter() -> None:
            task = asyncio.current_task()
            assert task is not None
            with Deadline(deadlines, task):
                await asyncio.Event().wait()

        waiting = asyncio.ensure_future(waiter())
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        loop.turn(20)
        await settle()

    run(work)


def test_one_timer_serves_them_all() -> None:
    """A thousand limits need one timer of the loop, and ended ones are let go."""

    async def work(loop: TurnedLoop) -> None:
        deadlines = Deadlines(loop, 10.0)
        task = asyncio.current_task()
        assert task is not None
        for _ in range(1000):
            with Deadline(deadlines, task):
                loop.turn(0.001)
        assert loop.timers == 1
        loop.turn(20)
        await settle()
        assert loop.timers == 1

    run(work)


def test_the_timer_moves_on_to_the_next_one() -> None:
    """After the first limit ran out, the second one still does, at its own time."""

    async def work(loop: TurnedLoop) -> None:
        deadlines = Deadlines(loop, 10.0)
        ended: list[str] = []

        async def waiter(name: str) -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                with Deadline(deadlines, task):
                    await asyncio.Event().wait()
            except TimeoutError:
                ended.append(name)

        first = asyncio.ensure_future(waiter("first"))
        await settle()
        loop.turn(5)
        second = asyncio.ensure_future(waiter("second"))
        await settle()
        loop.turn(6)
        await settle()
        assert ended == ["first"]
        loop.turn(5)
        await settle()
        assert ended == ["first", "second"]
        await asyncio.gather(first, second)

    run(work)


def test_each_loop_has_its_own() -> None:
    """Two loops of one thread, one after the other, do not share limits."""

    async def work(loop: TurnedLoop) -> None:
        mine = deadlines_of(loop, 10.0)
        assert mine is deadlines_of(loop, 10.0)
        assert mine.loop is loop

    run(work)
    run(work)
