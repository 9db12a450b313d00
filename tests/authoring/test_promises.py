"""Durable promises of workflows, in every setting."""

from __future__ import annotations

from typing import Any

import pytest

from durably import DurablePromise, TerminalError, WorkflowContext, WorkflowSharedContext
from durably.authoring.sync_contexts import SyncWorkflowContext, SyncWorkflowSharedContext
from durably.errors import UsageError
from durably.protocol import messages as wire
from tests.authoring.playing import Play
from tests.runtime_model.runtime import Runtime


def test_a_promise_is_completed_once(play: Play) -> None:
    """Peeking gives None before; completing it a second time fails with 409; the value is the first one."""

    async def handle(ctx: WorkflowContext) -> Any:
        promise = ctx.promise("approval", type_hint=dict)
        before = await promise.peek()
        await promise.resolve({"by": "me"})
        conflicts = []
        for again in (lambda: promise.resolve({}), lambda: promise.reject("no")):
            try:
                await again()
            except TerminalError as error:
                conflicts.append(error.status_code)
        return [promise.name, before, conflicts, await promise.peek(), await promise.value(), await promise]

    def handle_sync(ctx: SyncWorkflowContext) -> Any:
        promise = ctx.promise("approval", type_hint=dict)
        before = promise.peek()
        promise.resolve({"by": "me"})
        conflicts = []
        for again in (lambda: promise.resolve({}), lambda: promise.reject("no")):
            try:
                again()
            except TerminalError as error:
                conflicts.append(error.status_code)
        return [promise.name, before, conflicts, promise.peek(), promise.value(), promise.value()]

    value = {"by": "me"}
    assert play(handle, handle_sync, kind="workflow").result == ["approval", None, [409, 409], value, value, value]


def test_a_rejected_promise_raises(play: Play) -> None:
    """Whoever waits gets the failure, as does whoever peeks."""

    async def handle(ctx: WorkflowContext) -> Any:
        await ctx.promise("approval").reject("denied", 403)
        with pytest.raises(TerminalError, match="denied"):
            await ctx.promise("approval").peek()
        await ctx.promise("approval")

    def handle_sync(ctx: SyncWorkflowContext) -> Any:
        ctx.promise("approval").reject("denied", 403)
        with pytest.raises(TerminalError, match="denied"):
            ctx.promise("approval").peek()
        ctx.promise("approval").value()

    assert play(handle, handle_sync, kind="workflow").result == (403, "denied")


def complete(runtime: Runtime) -> None:
    """Let another handler of the workflow complete the promise as soon as somebody waits for it."""
    accept = runtime.accept

    def accept_and_complete(kind: int, payload: bytes) -> Any:
        answers = accept(kind, payload)
        if kind == 0x0409 and "approval" not in runtime.promises:
            runtime.complete_promise("approval", b'"yes"')
        return answers

    runtime.accept = accept_and_complete


def test_a_promise_is_waited_for(play: Play) -> None:
    """The value arrives from another handler, after the wait began."""

    async def handle(ctx: WorkflowContext) -> str:
        return await ctx.promise("approval", type_hint=str)

    def handle_sync(ctx: SyncWorkflowContext) -> str:
        return ctx.promise("approval", type_hint=str).value()

    assert play(handle, handle_sync, kind="workflow", prepare=complete).result == "yes"


def test_shared_handlers_have_promises_too(play: Play) -> None:
    """A handler beside the run reads and completes the promises of its workflow."""

    def prepare(runtime: Runtime) -> None:
        runtime.promises["failed"] = wire.Failure(code=410, message="over")

    async def handle(ctx: WorkflowSharedContext) -> Any:
        await ctx.promise("new").resolve(1)
        return [await ctx.promise("new", type_hint=int), await ctx.promise("failed")]

    def handle_sync(ctx: SyncWorkflowSharedContext) -> Any:
        ctx.promise("new").resolve(1)
        return [ctx.promise("new", type_hint=int).value(), ctx.promise("failed").value()]

    assert play(handle, handle_sync, kind="query", prepare=prepare).result == (410, "over")


def test_a_promise_outside_a_workflow_is_refused() -> None:
    """A promise that no context gave cannot do anything, and says where to get one."""
    with pytest.raises(UsageError, match=r"ctx\.promise"):
        DurablePromise("alone").value()
