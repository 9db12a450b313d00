"""Plain asyncio in handlers: tasks take turns in an order that replay repeats."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, TerminalError
from durably.errors import SuspendedException
from tests.authoring.playing import ASYNC, Play, app_of, run_once
from tests.runtime_model.runtime import Runtime

pytestmark = pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
second = timedelta(seconds=1)


class Worker:
    """Does durable things and notes the order."""

    def __init__(self, ctx: Context) -> None:
        """Begin with an empty log."""
        self.ctx = ctx
        self.log: list[str] = []

    async def work(self, name: str, times: int = 2) -> str:
        """Sleep, step, and note each."""
        for number in range(times):
            await self.ctx.sleep(second, name=f"{name} after {len(self.log)}")
            self.log.append(f"{name} slept {number}")
            value = await self.ctx.run_typed("step", self.count, name=name)
            self.log.append(f"{name} {value}")
        return name

    async def count(self, name: str) -> int:
        """Be a step that gives up the loop."""
        await asyncio.sleep(0)
        return len(name)


def test_gather(play: Play) -> None:
    """`asyncio.gather` over coroutines, durable futures and tasks."""

    async def handle(ctx: Context) -> Any:
        worker = Worker(ctx)
        results = await asyncio.gather(
            worker.work("a"), ctx.sleep(second), asyncio.create_task(worker.work("b")), ctx.generic_call("A", "b", b"")
        )
        return [str(results), worker.log]

    played = play(handle, alike=False)
    assert played.result[0] == "['a', None, 'b', b'']"
    assert len(played.result[1]) == 8


def test_task_groups(play: Play) -> None:
    """Nested groups and the tasks that tasks create."""

    async def handle(ctx: Context) -> Any:
        worker = Worker(ctx)

        async def nested(name: str) -> None:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(worker.work(f"{name}1", 1))
                inner.create_task(worker.work(f"{name}2", 1))
            worker.log.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(nested("x"))
            group.create_task(nested("yy"))
        await ctx.sleep(second)
        return worker.log

    assert {"x", "yy"} < set(play(handle, alike=False).result)


def test_waiting_for_the_first_and_as_completed(play: Play) -> None:
    """`asyncio.wait` and `asyncio.as_completed` over tasks."""

    async def handle(ctx: Context) -> Any:
        worker = Worker(ctx)
        tasks = [asyncio.create_task(worker.work(name, 1), name=name) for name in "abc"]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log = [sorted(task.get_name() for task in done)]
        await asyncio.wait(pending)
        log.extend([[await each] for each in asyncio.as_completed([worker.work("d", 1), worker.work("e", 1)])])
        return [log, worker.log]

    assert play(handle, alike=False).result[0] == [["a"], ["d"], ["e"]]


def test_locks_queues_events_and_conditions(play: Play) -> None:
    """What asyncio has to coordinate tasks is allowed: it depends on nothing from outside."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []
        lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue[str]()
        limit = asyncio.Semaphore(2)

        async def producer(name: str) -> None:
            async with limit:
                await ctx.sleep(second)
                async with lock:
                    await ctx.sleep(second)
                    await queue.put(name)

        async def consumer() -> None:
            for _ in range(3):
                log.append(await queue.get())
                await ctx.sleep(second)
            event.set()

        async def waiter() -> None:
            await event.wait()
            log.append("event")

        await asyncio.gather(consumer(), waiter(), producer("a"), producer("b"), producer("c"))
        return log

    assert play(handle).result == ["a", "b", "c", "event"]


def test_one_future_awaited_by_several_tasks(play: Play) -> None:
    """Each gets the outcome, in the order in which they began to wait."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []
        timer, call = ctx.sleep(second), ctx.generic_call("A", "b", b"value")

        async def wait(name: str) -> None:
            await timer
            log.append(name)
            log.append((await call).decode())

        await asyncio.gather(wait("a"), wait("b"), wait("c"))
        return log

    assert play(handle).result == ["a", "b", "c", "value", "value", "value"]


def test_combinators_inside_tasks(play: Play) -> None:
    """The combinators of durably work in tasks, beside other waits."""

    async def handle(ctx: Context) -> Any:
        async def racing() -> Any:
            return await durably.race(ctx.sleep(second).map(lambda _: "left"), ctx.sleep(second).map(lambda _: "right"))

        async def selecting() -> Any:
            return await durably.select(call=ctx.generic_call("A", "b", b"").map(bytes.decode), timer=ctx.sleep(second))

        async def completing() -> Any:
            return [each.done() async for each in durably.as_completed(ctx.sleep(second), ctx.sleep(second))]

        return await asyncio.gather(racing(), selecting(), completing(), ctx.run("step", lambda: 1))

    assert play(handle).result == ["left", ["call", ""], [True, True], 1]


def test_a_failing_task_of_a_group(play: Play) -> None:
    """The others are cancelled; a terminal error in the group ends the invocation with its failure."""
    log: list[str] = []

    async def handle(ctx: Context) -> None:
        async def fail() -> None:
            await ctx.sleep(second)
            raise TerminalError("no", 418)

        async def wait() -> None:
            try:
                await ctx.awakeable()[1]
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(wait())

    assert play(handle, cuts=False).result == (418, "no")
    assert "cancelled" in log


def test_a_handled_failure_of_a_group(play: Play) -> None:
    """The handler goes on after an exception group that it caught, with durable operations."""

    async def handle(ctx: Context) -> Any:
        async def fail(code: int) -> None:
            await ctx.sleep(second)
            raise TerminalError("no", code)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(401))
                group.create_task(fail(402))
        except* TerminalError as failures:
            codes = [error.status_code for error in failures.exceptions]
        await ctx.sleep(second)
        return codes

    assert play(handle).result == [401]


def test_tasks_that_are_cancelled(play: Play) -> None:
    """A cancelled task leaves its wait; the operation's result stays available."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []
        timer = ctx.sleep(second)

        async def wait() -> None:
            try:
                await timer
            except asyncio.CancelledError:
                log.append("cancelled")

        task = asyncio.create_task(wait())
        await ctx.sleep(second)
        task.cancel()
        await task
        await timer
        return [log, timer.done()]

    assert play(handle).result in ([["cancelled"], True], [[], True])


def test_tasks_left_behind(play: Play) -> None:
    """When the handler returns, tasks that wait for durable operations get a signal, and nothing hangs."""
    ended: list[str] = []

    async def handle(ctx: Context) -> str:
        async def forgotten() -> None:
            try:
                await ctx.awakeable()[1]
            except BaseException as signal:
                ended.append(type(signal).__name__)
                raise

        ctx.request().attempt_headers["task"] = asyncio.create_task(forgotten())  # kept alive
        await ctx.sleep(second)
        return "done"

    assert play(handle, cuts=False).result == "done"
    assert "SdkInternalException" in ended


def test_suspension_unwinds_all_tasks(play: Play) -> None:
    """Tasks that swallow what unwinds them write nothing, and the journal stays as it was."""
    swallowed: list[str] = []

    async def handle(ctx: Context) -> Any:
        async def swallow(name: str) -> str:
            try:
                await ctx.sleep(second)
            except BaseException as signal:
                swallowed.append(type(signal).__name__)
                for _ in range(2):
                    try:
                        ctx.generic_send("A", name, b"")
                        await ctx.sleep(second)
                    except SuspendedException:
                        swallowed.append("again")
                return "swallowed"
            return name

        return await asyncio.gather(swallow("a"), swallow("b"))

    played = play(handle, cuts=False)
    assert played.result == ["a", "b"]
    assert played.commands == ["INPUT", "SLEEP", "SLEEP", "OUTPUT"]
    if play.setting.carrier != "streaming":
        assert len(swallowed) >= 9  # two tasks in the first attempt, at least one in the second
    assert played.errors == []


def test_time_limits_of_asyncio(play: Play) -> None:
    """`asyncio.wait_for` and `asyncio.timeout` around durable waits, beside other tasks."""

    async def handle(ctx: Context) -> Any:
        async def limited() -> str:
            try:
                await asyncio.wait_for(ctx.awakeable()[1], 0.01)
            except TimeoutError:
                return "late"
            return "never"

        async def in_time() -> str:
            async with asyncio.timeout(60):
                return await ctx.run("step", lambda: "in time")

        return await asyncio.gather(limited(), in_time())

    if play.setting.carrier == "streaming":
        assert play(handle, cuts=False).result == ["late", "in time"]
    else:  # the limit is not durable: the handler suspends before it runs out
        runtime = Runtime(app_of(handle), "Played", "play", version=play.setting.version, streaming=False)
        assert asyncio.run(runtime.attempt()).ending == "suspension"


def test_a_handler_is_back_to_one_task_afterwards(play: Play) -> None:
    """Once its tasks are done the handler waits by itself again, and can make tasks again."""

    async def handle(ctx: Context) -> Any:
        states = []
        for _ in range(2):
            await asyncio.gather(ctx.sleep(second), ctx.sleep(second))
            await ctx.sleep(second)
            states.append(ctx.turns is None)
        return states

    assert play(handle).result == [True, True]


def test_any_order_of_completions_replays(play: Play) -> None:
    """Whatever the order of completions, what was done once is done again on replay."""

    async def handle(ctx: Context) -> Any:
        worker = Worker(ctx)
        await asyncio.gather(*(worker.work(name) for name in "abc"))
        return worker.log

    for seed in range(3):
        first = run_once(handle, seed=seed, version=play.setting.version, streaming=play.setting.carrier == "streaming")
        again = Runtime(app_of(handle), "Played", "play", version=play.setting.version)
        again.journal = list(first.journal)
        assert asyncio.run(again.attempt()).ending == "end"
