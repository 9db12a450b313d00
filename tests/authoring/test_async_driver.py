"""Waiting in a handler with one task: interruptions, suspension, misuse, and what a replay costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, TerminalError, race
from durably.errors import SuspendedException, UsageError
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import ASYNC, Play, app_of, run_once
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)


def test_a_step_that_a_time_limit_interrupts_is_executed_again() -> None:
    """`asyncio.timeout` cancels the action; whoever awaits the step afterwards has it executed once more."""
    seen: list[str] = []

    async def act() -> str:
        try:
            if not seen:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("interrupted")
            raise
        return "done"

    async def handle(ctx: Context) -> Any:
        step = ctx.run_typed("step", act)
        try:
            async with asyncio.timeout(0.01):
                await step
        except TimeoutError:
            seen.append("late")
        return await step

    played = run_once(handle)
    assert played.result == "done"
    assert seen == ["interrupted", "late"]
    assert played.commands == ["INPUT", "RUN", "OUTPUT"]


def test_a_step_in_a_thread_is_not_started_twice() -> None:
    """A thread cannot be interrupted: after a time limit its result is still waited for."""
    started: list[int] = []
    go_on = threading.Event()

    def act() -> int:
        started.append(1)
        go_on.wait(5)
        return len(started)

    async def handle(ctx: Context) -> Any:
        step = ctx.run_typed("step", act)
        try:
            async with asyncio.timeout(0.01):
                await step
        except TimeoutError:
            go_on.set()
        return await step

    assert run_once(handle).result == 1


def test_a_time_limit_around_a_timer() -> None:
    """The durable timer goes on; it is waited for again later."""

    async def handle(ctx: Context) -> Any:
        log = []
        timer = ctx.sleep(second)
        try:
            async with asyncio.timeout(0):
                await timer
        except TimeoutError:
            log.append("late")
        log.append(timer.done())
        await timer
        log.append(timer.done())
        return log

    assert run_once(handle).result == ["late", False, True]


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
def test_wait_for_around_a_step(several: bool) -> None:
    """`asyncio.wait_for` works as around anything else."""

    async def act() -> str:
        return "done"

    async def handle(ctx: Context) -> Any:
        other = asyncio.create_task(asyncio.sleep(0)) if several else None
        result = await asyncio.wait_for(ctx.run_typed("step", act), 5)
        if other is not None:
            await other
        return result

    assert run_once(handle).result == "done"


# Suspension


@pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
def test_a_handler_that_swallows_the_suspension_changes_nothing(play: Play) -> None:
    """Every use of the context raises again; nothing is written after Suspension, and the handler ends as it should."""
    raised: list[str] = []

    async def handle(ctx: Context) -> Any:
        try:
            await ctx.sleep(second)
        except BaseException as signal:
            raised.append(type(signal).__name__)
            for use in (
                lambda: ctx.sleep(second),
                lambda: ctx.run("step", lambda: 1),
                lambda: ctx.generic_send("A", "b", b""),
                lambda: ctx.awakeable(),
            ):
                try:
                    use()
                except BaseException as again:
                    raised.append(type(again).__name__)
            return "swallowed"
        return "slept"

    played = play(handle, cuts=False)
    assert played.result == "slept"
    assert played.commands == ["INPUT", "SLEEP", "OUTPUT"]
    suspended = play.setting.carrier != "streaming"
    assert raised == ["SuspendedException"] * 5 * suspended


def test_a_handler_that_awaits_after_the_suspension_gets_the_signal_again() -> None:
    """Also from futures that were made before it."""
    raised: list[str] = []

    async def handle(ctx: Context) -> Any:
        first, other = ctx.sleep(second), ctx.sleep(second)
        both = race(first, other)
        for future in (first, first, other, both):
            try:
                await future
            except SuspendedException as signal:
                raised.append(type(signal).__name__)
        return "swallowed"

    runtime = Runtime(app_of(handle), "Played", "play", streaming=False)
    attempt = asyncio.run(runtime.attempt())
    assert attempt.ending == "suspension"
    assert raised == ["SuspendedException"] * 4


def test_what_is_open_is_closed_on_suspension() -> None:
    """Finally blocks run, context managers exit and asynchronous generators are closed, on each attempt."""
    log: list[str] = []

    class Manager:
        async def __aenter__(self) -> None:
            log.append("enter")

        async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
            log.append(f"exit {kind.__name__ if kind else None}")

    async def numbers(ctx: Context) -> AsyncIterator[int]:
        try:
            yield 1
            await ctx.sleep(second)
            yield 2
        finally:
            log.append("generator closed")

    async def handle(ctx: Context) -> Any:
        async with Manager():
            try:
                return [number async for number in numbers(ctx)]
            finally:
                log.append("finally")

    assert run_once(handle, streaming=False).result == [1, 2]
    assert log == [
        *("enter", "generator closed", "finally", "exit SuspendedException"),
        *("enter", "generator closed", "finally", "exit None"),
    ]


# Misuse


def test_results_are_not_blocked_for_in_async_handlers() -> None:
    """`result()` would block the event loop: it is refused, and says what to do."""

    async def handle(ctx: Context) -> str:
        for future in (ctx.sleep(second), race(ctx.sleep(second))):
            with pytest.raises(UsageError, match="Await the future instead"):
                future.result()
        return "refused"

    assert run_once(handle).result == "refused"


def test_a_handler_that_is_slow_to_unwind_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks that ignore their cancellation are left behind after a while, with a warning."""
    from durably.hosting import aio

    monkeypatch.setattr(aio, "_UNWIND_LIMIT_S", 0.01)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def handle(ctx: Context) -> None:
        task = asyncio.create_task(stubborn())
        ctx.request().attempt_headers["task"] = task  # keeps it alive
        raise TerminalError("over")

    async def main() -> None:
        runtime = Runtime(app_of(handle), "Played", "play")
        await runtime.finish()
        release.set()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert not caplog.records  # it waits for nothing durable: it may go on after the attempt

    async def waiting(ctx: Context) -> None:
        async def act() -> None:
            await stubborn()

        step = ctx.run_typed("step", act)
        await race(step, ctx.generic_call("A", "b", b""))

    async def main_again() -> None:
        release.clear()
        runtime = Runtime(app_of(waiting), "Played", "play")
        await runtime.finish()
        release.set()
        await asyncio.sleep(0)

    asyncio.run(main_again())
    assert "1 tasks of the handler did not end" in caplog.text


@pytest.mark.parametrize("version", list(ProtocolVersion))
def test_a_handler_with_one_task_costs_no_turn_of_the_loop(version: ProtocolVersion) -> None:
    """Replaying a long journal schedules nothing on the loop: no callback, no task, no timer."""

    async def act() -> int:
        return 1

    async def handle(ctx: Context) -> int:
        total = 0
        for _ in range(100):
            total += await ctx.run_typed("step", act)
            await ctx.sleep(second)
        return total

    first = run_once(handle, version=version)
    runtime = Runtime(app_of(handle), "Played", "play", version=version)
    runtime.journal = list(first.journal)
    scheduled: list[object] = []

    async def main() -> None:
        incoming = [
            {"type": "http.request", "body": runtime.start_frames(), "more_body": True},
            {"type": "http.request", "body": b"", "more_body": False},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop(0)

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http",
            "http_version": "2",
            "method": "POST",
            "path": "/invoke/Played/play",
            "headers": [(b"content-type", f"application/vnd.restate.invocation.v{version.value}".encode())],
            "client": None,
            "asgi": {"version": "3.0"},
        }
        loop = asyncio.get_running_loop()
        for name in ("call_soon", "call_later", "call_at", "create_task"):
            original = getattr(loop, name)

            def spy(*args: Any, original: Any = original, **options: Any) -> Any:
                scheduled.append(args)
                return original(*args, **options)

            setattr(loop, name, spy)
        await runtime.app(scope, receive, send)
        for name in ("call_soon", "call_later", "call_at", "create_task"):
            delattr(loop, name)
        assert b"".join(event.get("body", b"") for event in sent) == bytes([0, MessageType.END, 0, 0, 0, 0, 0, 0])

    asyncio.run(main())
    assert [each for each in scheduled if "Deadlines" not in str(each)] == []  # one timer of all drains of the loop
