"""The workflow of the contract, BlockAndWaitWorkflow, with plain `def` handlers.

Owns nothing but its state and its one durable promise.
"""

from __future__ import annotations

import durably

__all__ = ["services"]

PROMISE = "durable-promise"
STATE = "my-state"

workflow = durably.Workflow("BlockAndWaitWorkflow")
services = (workflow,)


@workflow.main("run")
def run(ctx: durably.SyncWorkflowContext, text: str) -> str:
    """Note the input, wait for the promise, and give its value."""
    ctx.set(STATE, text)
    promise = ctx.promise(PROMISE, type_hint=str)
    value = promise.value()
    if promise.peek() is None:
        raise durably.TerminalError("A promise that was awaited must be completed when it is peeked at")
    return value


@workflow.handler("unblock")
def unblock(ctx: durably.SyncWorkflowSharedContext, text: str) -> None:
    """Resolve the promise."""
    ctx.promise(PROMISE, type_hint=str).resolve(text)


@workflow.handler("getState")
def get_state(ctx: durably.SyncWorkflowSharedContext) -> str | None:
    """Give what the workflow noted."""
    return ctx.get(STATE, type_hint=str)
