"""Tasks that wait for something that is not durable, and tasks that never wait."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably import Context
from tests.authoring.playing import app_of, run_once
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)
WARNING = "waiting for something that is not durable"


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    """Count the warnings about the order."""
    return sum(WARNING in record.getMessage() for record in caplog.records)


async def a_timer_of_the_loop() -> None:
    """Wait for asyncio's own timer."""
    await asyncio.sleep(0.005)


async def a_socket() -> None:
    """Wait for bytes on a socket."""
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        asyncio.get_running_loop().call_later(0.005, right.send, b"x")
        await asyncio.get_running_loop().sock_recv(left, 1)


async def a_thread() -> None:
    """Wait for a thread."""
    await asyncio.to_thread(threading.Event().wait, 0.005)


outside = pytest.mark.parametrize("wait", [a_timer_of_the_loop, a_socket, a_thread], ids=lambda wait: wait.__name__)


@outside
def test_a_task_that_waits_outside_holds_nobody_up(wait: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """The other tasks go on, the task itself too; one warning tells that the order may differ."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []
        awakeable_id, awakeable = ctx.awakeable()

        async def outside() -> None:
            for _ in range(3):
                await wait()
                await ctx.sleep(second)
                log.append("outside")
            ctx.resolve_awakeable(awakeable_id, None)

        async def durable() -> None:
            for _ in range(3):
                await ctx.sleep(second)
                log.append("durable")
            await awakeable

        await asyncio.gather(outside(), durable())
        return log

    assert sorted(run_once(handle).result) == ["durable"] * 3 + ["outside"] * 3
    assert warnings(caplog) == 1


@outside
def test_a_task_that_only_waits_outside_gives_no_warning(
    wait: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """What it does afterwards is nothing durable, so no order depends on it."""

    async def handle(ctx: Context) -> str:
        async def durable() -> None:
            await ctx.sleep(second)

        waiting = asyncio.create_task(wait())
        await durable()
        await waiting
        return "done"

    assert run_once(handle).result == "done"
    assert warnings(caplog) == 0


@outside
def test_one_task_that_waits_outside_gives_no_warning(
    wait: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With a single task there is no order that could differ."""

    async def handle(ctx: Context) -> str:
        await ctx.sleep(second)
        await wait()
        await ctx.sleep(second)
        return "done"

    assert run_once(handle).result == "done"
    assert warnings(caplog) == 0


def test_steps_that_wait_give_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Waiting inside a step is what steps are for."""

    async def handle(ctx: Context) -> Any:
        async def fetch() -> str:
            await a_timer_of_the_loop()
            await asyncio.gather(a_socket(), a_thread())
            return "fetched"

        async def work() -> str:
            await ctx.sleep(second)
            return await ctx.run_typed("fetch", fetch)

        return await asyncio.gather(work(), work(), work())

    assert run_once(handle).result == ["fetched"] * 3
    assert warnings(caplog) == 0


def test_coordination_inside_the_handler_gives_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Waits of tasks for each other end because of the journal."""

    async def handle(ctx: Context) -> Any:
        event = asyncio.Event()

        async def waiter() -> str:
            await event.wait()
            await ctx.sleep(second)
            return "waited"

        async def setter() -> None:
            await ctx.sleep(second)
            event.set()
            await ctx.sleep(second)

        return (await asyncio.gather(waiter(), asyncio.shield(waiter()), setter()))[:2]

    assert run_once(handle).result == ["waited"] * 2
    assert warnings(caplog) == 0


def test_a_task_that_polls_does_not_starve_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A loop around `sleep(0)` holds the others up for a while only."""

    async def handle(ctx: Context) -> Any:
        done = False

        async def poll() -> int:
            turns = 0
            while not done:
                turns += 1
                await asyncio.sleep(0)
            return turns

        async def work() -> str:
            nonlocal done
            await ctx.sleep(second)
            result = await ctx.run("step", lambda: "worked")
            done = True
            return result

        turns, result = await asyncio.gather(poll(), work())
        assert turns > 1
        return result

    runtime = Runtime(app_of(handle), "Played", "play", streaming=False)
    asyncio.run(runtime.finish(limit=10))
    assert runtime.result == "worked"
    assert 1 <= warnings(caplog) <= len(runtime.attempts)


def test_short_polling_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A task that yields a few times is not what the warning is about."""

    async def handle(ctx: Context) -> str:
        async def yielding() -> None:
            for _ in range(50):
                await asyncio.sleep(0)
            await ctx.sleep(second)

        await asyncio.gather(yielding(), yielding(), yielding())
        return "done"

    assert run_once(handle).result == "done"
    assert warnings(caplog) == 0


def test_the_main_task_works_while_others_wait() -> None:
    """Work of the main task that is not durable, beside tasks that wait for durable operations."""

    async def handle(ctx: Context) -> Any:
        tasks = [asyncio.create_task(_first_of(ctx)) for _ in range(2)]
        for _ in range(3):
            await asyncio.sleep(0.001)
        return await asyncio.gather(*tasks)

    assert run_once(handle).result == ["slept", "slept"]


async def _first_of(ctx: Context) -> str:
    await ctx.sleep(second)
    return "slept"
