"""Other invocations, and explicit cancellation, in every setting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, TerminalError
from durably.authoring.sync_contexts import SyncContext
from durably.errors import UsageError
from durably.protocol import messages as wire
from tests.authoring.playing import Play
from tests.runtime_model.runtime import Runtime


def known(runtime: Runtime) -> None:
    """Let some invocations have results."""
    runtime.outputs.update(
        {
            "inv_1done": b'{"total":3}',
            "inv_1failed": wire.Failure(code=404, message="gone"),
            "flow-key": b'"flow"',
            "idem-key": b'"idem"',
        }
    )


def test_other_invocations_are_attached_to(play: Play) -> None:
    """Their results arrive, typed; a failed one raises."""

    async def handle(ctx: Context) -> Any:
        done = await ctx.attach_invocation("inv_1done", type_hint=dict[str, int])
        workflow = await ctx.attach_workflow("Flow", "flow-key", type_hint=str)
        idempotent = await ctx.attach_idempotent("Shop", "order", "idem-key", type_hint=str)
        try:
            await ctx.attach_invocation("inv_1failed")
        except TerminalError as error:
            return [done, workflow, idempotent, error.status_code]

    def handle_sync(ctx: SyncContext) -> Any:
        done = ctx.attach_invocation("inv_1done", type_hint=dict[str, int])
        workflow = ctx.attach_workflow("Flow", "flow-key", type_hint=str)
        idempotent = ctx.attach_idempotent("Shop", "order", "idem-key", type_hint=str)
        try:
            ctx.attach_invocation("inv_1failed")
        except TerminalError as error:
            return [done, workflow, idempotent, error.status_code]

    assert play(handle, handle_sync, prepare=known).result == [{"total": 3}, "flow", "idem", 404]


def test_outputs_are_looked_at_without_waiting(play: Play) -> None:
    """A completed invocation gives its result, another None."""

    async def handle(ctx: Context) -> Any:
        return [await ctx.invocation_output("inv_1done", type_hint=dict), await ctx.invocation_output("inv_1later")]

    def handle_sync(ctx: SyncContext) -> Any:
        return [ctx.invocation_output("inv_1done", type_hint=dict), ctx.invocation_output("inv_1later")]

    assert play(handle, handle_sync, prepare=known).result == [{"total": 3}, None]


def test_other_invocations_are_cancelled(play: Play) -> None:
    """The built-in signal goes to the invocation."""

    async def handle(ctx: Context) -> None:
        ctx.cancel_invocation("inv_1done")
        await ctx.sleep(timedelta(seconds=1))

    def handle_sync(ctx: SyncContext) -> None:
        ctx.cancel_invocation("inv_1done")
        ctx.sleep(timedelta(seconds=1))

    (sent,) = play(handle, handle_sync).signals
    assert (sent.target_invocation_id, sent.idx) == ("inv_1done", 1)


def test_a_handler_deals_with_its_cancellation_itself(play: Play) -> None:
    """With explicit cancellation nothing is interrupted: the handler races the cancellation with its work."""

    async def handle(ctx: Context) -> Any:
        cancelled = ctx.cancellation().map(lambda _: "cancelled")
        first = await durably.race(cancelled, ctx.sleep(timedelta(days=1)).map(lambda _: "slept"))
        await ctx.sleep(timedelta(seconds=1))
        return first

    def handle_sync(ctx: SyncContext) -> Any:
        cancelled = ctx.start.cancellation().map(lambda _: "cancelled")
        first = durably.sync.race(cancelled, ctx.start.sleep(timedelta(days=1)).map(lambda _: "slept"))
        ctx.sleep(timedelta(seconds=1))
        return first

    played = play(handle, handle_sync, prepare=Runtime.cancel, explicit_cancellation=True)
    assert played.result == "cancelled"


def test_cancellation_is_waited_for_alone(play: Play) -> None:
    """A handler with explicit cancellation may do nothing but wait for it."""

    async def handle(ctx: Context) -> str:
        await ctx.cancellation()
        return "bye"

    def handle_sync(ctx: SyncContext) -> str:
        ctx.cancellation()
        return "bye"

    assert play(handle, handle_sync, prepare=Runtime.cancel, explicit_cancellation=True).result == "bye"


def test_the_cancellation_of_other_handlers_is_refused(play: Play) -> None:
    """Where cancellation is implicit, asking for it is a mistake, and the text says how to repair it."""

    async def handle(ctx: Context) -> str:
        with pytest.raises(UsageError, match="explicit_cancellation=True"):
            ctx.cancellation()
        return "refused"

    def handle_sync(ctx: SyncContext) -> str:
        with pytest.raises(UsageError, match="explicit_cancellation=True"):
            ctx.cancellation()
        return "refused"

    assert play(handle, handle_sync).result == "refused"
