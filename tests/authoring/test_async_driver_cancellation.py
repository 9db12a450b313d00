"""Cancellation of an invocation: delivered once, caught, compensated, and the same on replay."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, InvocationCancelledError, TerminalError, race
from durably.authoring.sync_contexts import SyncContext
from durably.protocol import messages as wire
from durably.protocol.messages import MessageType
from tests.authoring.playing import ASYNC, STREAMING, Play
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)
asynchronous = pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
streaming = pytest.mark.parametrize(
    "play", [each for each in STREAMING if each.flavour == "async"], indirect=True, ids=str
)


def test_a_cancellation_ends_the_invocation(play: Play) -> None:
    """Uncaught, it is the invocation's failure."""

    async def handle(ctx: Context) -> None:
        await ctx.awakeable()[1]

    def handle_sync(ctx: SyncContext) -> None:
        ctx.awakeable()[1].result()

    assert play(handle, handle_sync, prepare=Runtime.cancel).result == (409, "cancelled")


def test_compensation_after_a_cancellation(play: Play) -> None:
    """It is raised once; the handler goes on with durable operations, which replay."""

    async def handle(ctx: Context) -> Any:
        log = []
        try:
            await ctx.awakeable()[1]
        except InvocationCancelledError as error:
            log.append(error.status_code)
        log.append(await ctx.run("compensate", lambda: "compensated"))
        await ctx.sleep(second)
        return log

    def handle_sync(ctx: SyncContext) -> Any:
        log = []
        try:
            ctx.awakeable()[1].result()
        except InvocationCancelledError as error:
            log.append(error.status_code)
        log.append(ctx.run("compensate", lambda: "compensated"))
        ctx.sleep(second)
        return log

    assert play(handle, handle_sync, prepare=Runtime.cancel).result == [409, "compensated"]


def test_each_signal_is_delivered_once(play: Play) -> None:
    """Two cancellations interrupt two waits."""

    def twice(runtime: Runtime) -> None:
        runtime.cancel()
        runtime.cancel()

    async def handle(ctx: Context) -> Any:
        caught = 0
        for _ in range(2):
            try:
                await ctx.awakeable()[1]
            except InvocationCancelledError:
                caught += 1
        await ctx.sleep(second)
        return caught

    def handle_sync(ctx: SyncContext) -> Any:
        caught = 0
        for _ in range(2):
            try:
                ctx.awakeable()[1].result()
            except InvocationCancelledError:
                caught += 1
        ctx.sleep(second)
        return caught

    assert play(handle, handle_sync, prepare=twice).result == 2


def test_children_are_cancelled(play: Play) -> None:
    """Calls that are under way get the signal, in the order in which they were made; one-way calls do not."""

    async def handle(ctx: Context) -> None:
        calls = [ctx.generic_call("A", "b", b""), ctx.generic_call("A", "c", b"")]
        ctx.generic_send("A", "d", b"")
        await race(*calls)

    def handle_sync(ctx: SyncContext) -> None:
        from durably import sync

        calls = [ctx.start.generic_call("A", "b", b""), ctx.start.generic_call("A", "c", b"")]
        ctx.generic_send("A", "d", b"")
        sync.race(*calls)

    played = play(handle, handle_sync, prepare=Runtime.cancel, on_call=lambda *_: None)
    assert played.result == (409, "cancelled")
    assert [(each.target_invocation_id, each.idx) for each in played.signals] == [
        ("inv_1child1", 1),
        ("inv_1child3", 1),
    ]


@asynchronous
def test_all_waiting_tasks_are_told(play: Play) -> None:
    """Each task's wait raises; a group of them ends the invocation."""
    told: list[str] = []

    async def handle(ctx: Context) -> None:
        async def wait(name: str) -> None:
            try:
                await ctx.awakeable()[1]
            except InvocationCancelledError:
                told.append(name)
                raise

        async with asyncio.TaskGroup() as group:
            group.create_task(wait("a"))
            group.create_task(wait("b"))

    assert play(handle, prepare=Runtime.cancel, cuts=False).result == (409, "cancelled")
    assert told == ["a", "b"]


@asynchronous
def test_tasks_compensate(play: Play) -> None:
    """Tasks that catch the cancellation go on beside each other, and replay."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []

        async def work(name: str) -> None:
            try:
                await ctx.awakeable()[1]
            except InvocationCancelledError:
                await ctx.sleep(second)
                log.append(await ctx.run("compensate", lambda: name))

        await asyncio.gather(work("a"), work("b"))
        return sorted(log)  # which thread is first is not recorded before it is

    assert play(handle, prepare=Runtime.cancel).result == ["a", "b"]


def cancel_on_run(runtime: Runtime) -> None:
    """Cancel as soon as the first step is journaled."""

    def on_frame(kind: int) -> None:
        if kind == MessageType.RUN and not any(each == MessageType.SIGNAL for each, _ in [*runtime.journal]):
            runtime.on_frame = None
            runtime.cancel()

    runtime.on_frame = on_frame


class Action:
    """A step that takes until it is cancelled."""

    def __init__(self) -> None:
        """Begin with an empty log."""
        self.log: list[str] = []

    async def act(self) -> str:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            self.log.append("finally")
        return "never"


@streaming
@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
def test_a_running_step_is_aborted(play: Play, several: bool) -> None:
    """The action sees CancelledError and its finally runs; awaited again the step fails with 409, also on replay."""
    action = Action()

    async def handle(ctx: Context) -> Any:
        caught: list[Any] = []
        step = ctx.run_typed("step", action.act)
        try:
            if several:
                await asyncio.gather(step, ctx.awakeable()[1])
            else:
                await step
        except InvocationCancelledError:
            caught.append("cancelled")
        for _ in range(2):
            try:
                await step
            except TerminalError as error:
                caught.append([error.status_code, error.message])
        await ctx.sleep(second)
        caught.append(await ctx.run("compensate", lambda: 1))
        return caught

    played = play(handle, prepare=cancel_on_run, cuts=False)
    assert played.result == ["cancelled", [409, "cancelled"], [409, "cancelled"], 1]
    assert action.log == ["cancelled", "finally"]
    recorded = [entry for kind, entry in played.journal if kind == MessageType.RUN_COMPLETION]
    assert wire.Notification.FromString(recorded[0]).failure.code == 409
    for length in range(5, len(played.journal)):
        again = Runtime(played.app, "Played", "play", version=play.setting.version)
        again.journal = played.journal[:length]
        again.pending = [
            entry
            for entry in played.journal[length:]
            if entry[0] >= MessageType.GET_LAZY_STATE_COMPLETION and entry[0] != MessageType.RUN_COMPLETION
        ]
        asyncio.run(again.finish(limit=5))
        assert again.errors == []


@streaming
@pytest.mark.parametrize("ending", ["value", "error", "swallowing"])
def test_what_an_aborted_step_gives_is_recorded(play: Play, ending: str) -> None:
    """An action that ends by itself while it is being cancelled has its result, or its failure, recorded."""

    async def act() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if ending == "error":
                raise TerminalError("half done", 418) from None
        return "cleaned up"

    async def handle(ctx: Context) -> Any:
        step = ctx.run_typed("step", act)
        try:
            await step
        except InvocationCancelledError:
            try:
                return await step
            except TerminalError as error:
                return error.status_code

    assert play(handle, prepare=cancel_on_run, cuts=False).result == (418 if ending == "error" else "cleaned up")


@streaming
def test_a_step_that_fails_while_it_is_aborted_fails_the_attempt(play: Play) -> None:
    """The next attempt sees the cancellation first, and the task's own cancellation is taken back."""
    attempts: list[str] = []

    async def act() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("broken")

    async def handle(ctx: Context) -> Any:
        attempts.append("began")
        try:
            await ctx.run_typed("step", act)
        except InvocationCancelledError:
            return "cancelled"

    played = play(handle, prepare=cancel_on_run, cuts=False, fails=True)
    assert played.result == "cancelled"
    assert [error.message for error in played.errors] == ["ValueError: broken"]


@streaming
def test_other_signals_do_not_abort_a_step(play: Play) -> None:
    """Input that arrives while a step runs waits for its turn."""

    def prepare(runtime: Runtime) -> None:
        runtime.signal(name="other", value=b"1")

    async def act() -> str:
        await asyncio.sleep(0.005)
        return "done"

    async def handle(ctx: Context) -> Any:
        return [await ctx.run_typed("step", act), await ctx.signal("other")]

    assert play(handle, prepare=prepare).result == ["done", 1]


@streaming
def test_an_explicit_cancellation_does_not_abort_a_step(play: Play) -> None:
    """The handler decides itself."""

    async def act() -> str:
        await asyncio.sleep(0.005)
        return "done"

    async def handle(ctx: Context) -> Any:
        result = await ctx.run_typed("step", act)
        await ctx.cancellation()
        return result

    assert play(handle, prepare=cancel_on_run, explicit_cancellation=True, cuts=False).result == "done"
