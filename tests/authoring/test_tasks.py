"""Which tasks are the handler's, whatever the event loop and its task factory are."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, current_context
from durably.authoring.tasks import HandlerTaskFactory, note_tasks_of_handlers
from tests.authoring.playing import app_of, run_once
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)


async def two_sleepers(ctx: Context) -> list[str]:
    """Run two tasks that sleep."""

    async def sleeper(name: str) -> str:
        await ctx.sleep(second, name=name)
        await ctx.run("step", lambda: name)
        return name

    return list(await asyncio.gather(sleeper("a"), sleeper("b")))


def test_the_hosts_task_factory_makes_the_tasks() -> None:
    """A factory that was there before is used for every task; the handler's tasks are noted all the same."""
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any) -> Any:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> Runtime:
        asyncio.get_running_loop().set_task_factory(factory)
        runtime = Runtime(app_of(two_sleepers), "Played", "play")
        await runtime.finish()
        asyncio.get_running_loop().set_task_factory(factory)  # the host sets its own again: the next attempt sees that
        again = Runtime(app_of(two_sleepers), "Played", "play")
        await again.finish(cuts=[3, 5])
        assert again.errors == []
        return runtime

    assert asyncio.run(main()).result == ["a", "b"]
    assert sum("sleeper" in name for name in made) >= 4


def test_the_factory_is_installed_once() -> None:
    """Later handlers find it there."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        note_tasks_of_handlers(loop)
        first = loop.get_task_factory()
        note_tasks_of_handlers(loop)
        assert loop.get_task_factory() is first
        assert isinstance(first, HandlerTaskFactory)
        assert await asyncio.create_task(asyncio.sleep(0, "outside of handlers"), name="named") == "outside of handlers"

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("streaming", [True, False])
def test_eager_tasks(streaming: bool) -> None:
    """Tasks that begin while they are made take turns like others; those that end at once are no tasks at all."""

    async def handle(ctx: Context) -> Any:
        async def at_once() -> str:
            return "at once"

        async def nested() -> Any:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(two_sleepers(ctx)), group.create_task(at_once())]
            return [task.result() for task in tasks]

        results = [await asyncio.create_task(at_once())]
        results.append(await asyncio.gather(nested(), two_sleepers(ctx), ctx.sleep(second)))
        await ctx.sleep(second)
        return [results, ctx.turns is None]

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        app = app_of(handle)
        for cut in (None, 3, 6, 9, 12, 15):
            runtime = Runtime(app, "Played", "play", seed=None, streaming=streaming)
            await runtime.finish(cuts=[cut] if cut else [])
            assert runtime.errors == []
            assert runtime.result == [["at once", [[["a", "b"], "at once"], ["a", "b"], None]], True]

    asyncio.run(main())


def test_handlers_on_two_event_loops() -> None:
    """Loops in different threads do not know of each other."""
    app = app_of(two_sleepers)
    results: list[Any] = []

    def serve() -> None:
        async def main() -> None:
            runtimes = [Runtime(app, "Played", "play") for _ in range(5)]
            await asyncio.gather(*(runtime.finish() for runtime in runtimes))
            results.extend(runtime.result for runtime in runtimes)

        asyncio.run(main())

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [["a", "b"]] * 10


def test_tasks_of_steps_are_their_own_business() -> None:
    """What a step starts does not take turns with the handler's tasks, and may wait for anything."""
    turns: list[bool] = []

    async def handle(ctx: Context) -> Any:
        async def fetch() -> list[int]:
            async def part(number: int) -> int:
                await asyncio.sleep(0.001)
                return number

            turns.append(ctx.turns is None)
            return await asyncio.gather(*(part(number) for number in range(3)))

        first = await ctx.run_typed("alone", fetch)
        both = await asyncio.gather(ctx.run_typed("one", fetch), ctx.run_typed("two", fetch))
        return [first, *both]

    assert run_once(handle).result == [[0, 1, 2]] * 3
    assert turns[0]


def test_tasks_in_a_context_of_their_own() -> None:
    """A task that is given other context variables is not the handler's; one given a copy of them is."""
    counted: list[int] = []

    async def handle(ctx: Context) -> Any:
        async def sleep() -> str:
            await ctx.sleep(second)
            return "slept"

        async def nothing() -> None:
            await asyncio.sleep(0)

        stranger = asyncio.get_running_loop().create_task(nothing(), context=contextvars.Context())
        counted.append(0 if ctx.turns is None else len(ctx.turns.tasks))
        ours = asyncio.get_running_loop().create_task(sleep(), context=contextvars.copy_context())
        counted.append(0 if ctx.turns is None else len(ctx.turns.tasks))
        await stranger
        return await ours

    assert run_once(handle).result == "slept"
    assert counted == [0, 1]


def test_tasks_after_the_end_are_not_noted() -> None:
    """A handler that swallowed its suspension makes tasks that nobody waits for."""

    async def handle(ctx: Context) -> str:
        try:
            await ctx.sleep(second)
        except BaseException:
            await asyncio.create_task(asyncio.sleep(0))
            assert ctx.turns is None
            raise
        return "done"

    assert run_once(handle, streaming=False).result == "done"


def test_as_completed_keeps_the_order_given() -> None:
    """Coroutines are started in the order of the list, not of their hashes; futures may be among them."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []

        async def work(name: str) -> str:
            log.append(name)
            await ctx.sleep(second)
            return name

        names = [str(number) for number in range(20)]
        for next_one in asyncio.as_completed([work(name) for name in names]):
            await next_one
        return log == names

    assert run_once(handle).result is True


def test_the_current_context_is_the_same_in_tasks_and_threads() -> None:
    """At any depth below the handler."""

    async def handle(ctx: Context) -> Any:
        async def in_a_task() -> bool:
            return current_context() is ctx

        def in_a_thread() -> bool:
            return current_context() is ctx

        async def in_a_step() -> bool:
            return current_context() is ctx and await asyncio.to_thread(in_a_thread)

        return [
            current_context() is ctx,
            await asyncio.create_task(in_a_task()),
            await asyncio.to_thread(in_a_thread),
            await ctx.run_typed("step", in_a_step),
            await ctx.run_typed("thread", in_a_thread),
            *await asyncio.gather(ctx.run_typed("step", in_a_step), ctx.run_typed("thread", in_a_thread)),
        ]

    assert run_once(handle).result == [True] * 7


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
def test_nothing_of_an_attempt_is_kept(several: bool) -> None:
    """When it is over its context goes away without the help of the garbage collector, and no task is left."""
    contexts: list[weakref.ref[Any]] = []

    class Resource:
        """Lives as long as the handler's frame."""

    async def handle(ctx: Context) -> str:
        resource = Resource()
        contexts.append(weakref.ref(resource))
        await ctx.run("step", lambda: 1)
        if several:
            await two_sleepers(ctx)
        await ctx.sleep(second)
        return "done"

    async def main() -> int:
        runtime = Runtime(app_of(handle), "Played", "play")
        before = asyncio.all_tasks()
        gc.collect()
        gc.disable()
        try:
            await runtime.finish()
            await asyncio.sleep(0)
            assert [reference() for reference in contexts] == [None]
        finally:
            gc.enable()
        return len(asyncio.all_tasks() - before)

    assert asyncio.run(main()) == 0
