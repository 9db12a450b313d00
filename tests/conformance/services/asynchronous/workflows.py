"""The workflow of the contract, BlockAndWaitWorkflow, with `async def` handlers.

Owns nothing but its state and its one durable promise.
"""

from __future__ import annotations

from tests.conformance.services.peer import restate

__all__ = ["services"]

PROMISE = "durable-promise"
STATE = "my-state"

workflow = restate.Workflow("BlockAndWaitWorkflow")
services = (workflow,)


@workflow.main("run")
async def run(ctx: restate.WorkflowContext, text: str) -> str:
    """Note the input, wait for the promise, and give its value."""
    ctx.set(STATE, text)
    promise = ctx.promise(PROMISE, type_hint=str)
    value = await promise.value()
    if await promise.peek() is None:
        raise restate.TerminalError("A promise that was awaited must be completed when it is peeked at")
    return value


@workflow.handler("unblock")
async def unblock(ctx: restate.WorkflowSharedContext, text: str) -> None:
    """Resolve the promise."""
    await ctx.promise(PROMISE, type_hint=str).resolve(text)


@workflow.handler("getState")
async def get_state(ctx: restate.WorkflowSharedContext) -> str | None:
    """Give what the workflow noted."""
    return await ctx.get(STATE, type_hint=str)
