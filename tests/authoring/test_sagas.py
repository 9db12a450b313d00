"""Compensations: when they run, in which order, once, and what the caller learns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from durably import (
    CompensationFailedError,
    Context,
    InvocationCancelledError,
    RunOptions,
    Saga,
    SyncContext,
    SyncSaga,
    TerminalError,
)
from durably.errors import RunFailedError, UsageError
from durably.protocol.messages import MessageType
from tests.authoring.playing import ASYNC, Play, run_once
from tests.runtime_model.runtime import Runtime


class Shop:
    """What a handler does to the world: a log of effects, and the effects that fail for good."""

    def __init__(self, *failing: str) -> None:
        """Let these effects fail."""
        self.log: list[str] = []
        self.failing = failing

    def do(self, effect: str) -> str:
        """Have an effect."""
        self.log.append(effect)
        if effect in self.failing:
            raise TerminalError(f"{effect} is not possible.", 402)
        return effect

    async def do_async(self, effect: str) -> str:
        """Do the same."""
        return self.do(effect)


EFFECTS = ("reserve", "charge", "mail")
UNDO = {"reserve": "release", "charge": "refund", "mail": "apologize"}


def ordering(shop: Shop, after: Callable[[], None] = lambda: None) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Give handlers that have three effects in a saga."""

    async def handle(ctx: Context) -> str:
        async with Saga(ctx) as saga:
            for effect in EFFECTS:
                saga.compensate(UNDO[effect], shop.do_async, RunOptions(), UNDO[effect])
                await ctx.run_typed(effect, shop.do_async, RunOptions(), effect)
            after()
        return "ordered"

    def handle_sync(ctx: SyncContext) -> str:
        with SyncSaga(ctx) as saga:
            for effect in EFFECTS:
                saga.compensate(UNDO[effect], shop.do, RunOptions(), UNDO[effect])
                ctx.run_typed(effect, shop.do, RunOptions(), effect)
            after()
        return "ordered"

    return handle, handle_sync


def test_nothing_is_undone_when_the_block_ends_normally(play: Play) -> None:
    """A saga that succeeds leaves no trace in the journal but its steps."""
    shop = Shop()
    assert play(*ordering(shop), cuts=False).result == "ordered"
    assert shop.log == list(EFFECTS)


def test_a_terminal_error_undoes_in_reverse(play: Play) -> None:
    """What was registered last is undone first, the failed step's own compensation included; the error goes on."""
    shop = Shop("charge")
    assert play(*ordering(shop), cuts=False).result == (402, "charge is not possible.")
    assert shop.log == ["reserve", "charge", "refund", "release"]


def test_compensations_are_steps(play: Play) -> None:
    """However often the connection is lost on the way, the caller learns the same, and a replay writes nothing new."""
    played = play(*ordering(Shop("mail")))
    assert played.result == (402, "mail is not possible.")
    assert played.commands.count("RUN") == 6


def test_other_errors_are_left_to_the_retries(play: Play) -> None:
    """A mistake in the code is no reason to undo: the attempt fails, and the next one goes on."""
    mistakes = [ValueError("not ready")]

    def after() -> None:
        if mistakes:
            raise mistakes.pop()

    shop = Shop()
    assert play(*ordering(shop, after), cuts=False, fails=True).result == "ordered"
    assert shop.log == list(EFFECTS)


def test_a_mapped_error_counts_as_terminal() -> None:
    """What a failure map makes terminal is compensated."""
    shop = Shop()

    def after() -> None:
        raise LookupError("no such street")

    handle, _ = ordering(shop, after)
    played = run_once(handle, failures={LookupError: 404})
    assert played.result == (404, "no such street")
    assert shop.log[3:] == ["apologize", "refund", "release"]


def test_a_cancellation_undoes(play: Play) -> None:
    """A cancelled handler compensates before it ends."""
    shop = Shop()

    async def handle(ctx: Context) -> None:
        async with Saga(ctx) as saga:
            saga.compensate("release", shop.do_async, RunOptions(), "release")
            await ctx.awakeable()[1]

    def handle_sync(ctx: SyncContext) -> None:
        with SyncSaga(ctx) as saga:
            saga.compensate("release", shop.do, RunOptions(), "release")
            ctx.awakeable()[1].result()

    assert play(handle, handle_sync, prepare=Runtime.cancel, cuts=False).result == (409, "cancelled")
    assert shop.log == ["release"]


def test_further_cancellations_do_not_stop_it(play: Play) -> None:
    """Cancelled twice more while it compensates, it still undoes everything, deferred operations included."""

    def prepare(runtime: Runtime) -> None:
        for _ in range(3):
            runtime.cancel()

    async def handle(ctx: Context) -> None:
        async with Saga(ctx) as saga:
            saga.defer(ctx.generic_call, "Stock", "release", b"1")
            saga.compensate("refund", Shop().do_async, RunOptions(), "refund")
            await ctx.awakeable()[1]

    def handle_sync(ctx: SyncContext) -> None:
        with SyncSaga(ctx) as saga:
            saga.defer(ctx.generic_call, "Stock", "release", b"1")
            saga.compensate("refund", Shop().do, RunOptions(), "refund")
            ctx.awakeable()[1].result()

    played = play(handle, handle_sync, prepare=prepare, on_call=lambda *_: b"2", alike=True)
    assert played.result == (409, "cancelled")
    assert "RUN" in played.commands
    assert "CALL" in played.commands


def test_an_aborted_compensation_is_done_again() -> None:
    """A cancellation aborts the step that undoes; it is done anew, and the journal tells so on replay."""
    log: list[str] = []

    async def release() -> None:
        log.append("release")
        if len(log) == 1:
            await asyncio.Event().wait()

    async def handle(ctx: Context) -> None:
        async with Saga(ctx) as saga:
            saga.compensate("release", release)
            raise TerminalError("no", 400)

    played = Play(ASYNC[0])(handle, prepare=_cancel_on_run, cuts=False)
    assert played.result == (400, "no")
    assert log == ["release", "release"]
    assert played.commands.count("RUN") == 2


def _cancel_on_run(runtime: Runtime) -> None:
    """Cancel as soon as the first step is journaled."""

    def on_frame(kind: int) -> None:
        if kind == MessageType.RUN:
            runtime.on_frame = None
            runtime.cancel()

    runtime.on_frame = on_frame


def test_a_failed_compensation_does_not_stop_the_others(play: Play) -> None:
    """The rest is undone, and the caller learns what is not."""
    shop = Shop("mail", "refund")
    status, message = play(*ordering(shop), cuts=False).result
    assert status == 402
    assert message == "mail is not possible. Not everything was undone: refund: refund is not possible."
    assert shop.log == ["reserve", "charge", "mail", "apologize", "refund", "release"]


def test_what_a_failed_compensation_raises() -> None:
    """The handler around the block gets both errors as data."""
    seen: list[CompensationFailedError] = []
    shop = Shop("charge", "refund")
    handle, _ = ordering(shop)

    async def around(ctx: Context) -> str:
        try:
            return str(await handle(ctx))
        except CompensationFailedError as error:
            seen.append(error)
            return "manual work"

    assert run_once(around).result == "manual work"
    (error,) = seen
    assert isinstance(error.__cause__, RunFailedError)
    assert error.status_code == 402
    assert [(name, failure.message) for name, failure in error.failures] == [("refund", "refund is not possible.")]


def test_a_compensation_is_retried_until_it_succeeds(play: Play) -> None:
    """By default an ordinary exception of a compensation is tried again, and is no reason to give up."""
    attempts: list[int] = []

    def release() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError("warehouse is closed")

    async def handle(ctx: Context) -> None:
        async with Saga(ctx) as saga:
            saga.compensate("release", release)
            raise TerminalError("no", 400)

    def handle_sync(ctx: SyncContext) -> None:
        with SyncSaga(ctx) as saga:
            saga.compensate("release", release)
            raise TerminalError("no", 400)

    assert play(handle, handle_sync, cuts=False, fails=True).result == (400, "no")
    assert len(attempts) == 3


@pytest.mark.parametrize("is_open", [False, True])
def test_a_saga_is_used_inside_its_block(is_open: bool) -> None:
    """A compensation outside the block, or a block in itself, is refused with what to do."""

    async def handle(ctx: Context) -> str:
        saga = Saga(ctx)
        try:
            if not is_open:
                saga.compensate("release", print)
            async with saga, saga:
                pass
        except UsageError as error:
            return str(error)
        return "accepted"

    told = run_once(handle).result
    assert ("open already" if is_open else "outside the saga's `with` block") in told


def test_a_sync_saga_is_used_inside_its_block() -> None:
    """The same for `def` handlers."""

    def handle(ctx: SyncContext) -> list[str]:
        saga, told = SyncSaga(ctx), []
        try:
            saga.defer(print)
        except UsageError as error:
            told.append(error.message)
        try:
            with saga, saga:
                pass
        except UsageError as error:
            told.append(error.message)
        return told

    first, second = run_once(handle).result
    assert "'print' was registered outside" in first
    assert "open already" in second


def test_a_cancelled_deferred_call_is_made_again(play: Play) -> None:
    """A deferred operation that the cancellation interrupts is not lost."""
    calls: list[int] = []

    async def handle(ctx: Context) -> None:
        async def release() -> None:
            calls.append(1)
            if len(calls) == 1:
                raise InvocationCancelledError

        async with Saga(ctx) as saga:
            saga.defer(release)
            raise TerminalError("no", 400)

    def handle_sync(ctx: SyncContext) -> None:
        def release() -> None:
            calls.append(1)
            if len(calls) == 1:
                raise InvocationCancelledError

        with SyncSaga(ctx) as saga:
            saga.defer(release)
            raise TerminalError("no", 400)

    assert play(handle, handle_sync, cuts=False).result == (400, "no")
    assert len(calls) == 2
