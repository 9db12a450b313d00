"""The services that are cancelled and killed: CancelTest* and KillTest*, with `async def` handlers.

Owns nothing but the answer of the runner, in state under its key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from tests.conformance.services.asynchronous.keyed import hold
from tests.conformance.services.peer import restate

__all__ = ["services"]

Operation = Literal["CALL", "SLEEP", "AWAKEABLE"]
CANCELLED = 409
VERY_LONG = timedelta(days=1000)

runner = restate.VirtualObject("CancelTestRunner")
blocking = restate.VirtualObject("CancelTestBlockingService")
kill_runner = restate.VirtualObject("KillTestRunner")
kill_singleton = restate.VirtualObject("KillTestSingleton")
services = (runner, blocking, kill_runner, kill_singleton)


@runner.handler("startTest")
async def start_test(ctx: restate.ObjectContext, operation: Operation) -> None:
    """Call a handler that blocks; note when a cancellation ends the call."""
    try:
        await ctx.object_call(block, key=ctx.key(), arg=operation)
    except restate.TerminalError as error:
        if error.status_code != CANCELLED:
            raise
        ctx.set("state", True)


@runner.handler("verifyTest")
async def verify_test(ctx: restate.ObjectContext) -> bool:
    """Tell whether a cancellation was seen."""
    return await ctx.get("state", type_hint=bool) or False


@blocking.handler("block")
async def block(ctx: restate.ObjectContext, operation: Operation) -> None:
    """Wait until told to go on, then block for ever in the way that is asked for."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    await ctx.object_call(hold, key=ctx.key(), arg=awakeable_id)
    await awakeable
    match operation:
        case "CALL":
            await ctx.object_call(block, key=ctx.key(), arg=operation)
        case "SLEEP":
            await ctx.sleep(VERY_LONG)
        case "AWAKEABLE":
            _, never = ctx.awakeable(type_hint=str)
            await never


@blocking.handler("isUnlocked")
async def is_unlocked(ctx: restate.ObjectContext) -> None:
    """Answer, which proves that nothing holds the key."""


@kill_runner.handler("startCallTree")
async def start_call_tree(ctx: restate.ObjectContext) -> None:
    """Call the recursive handler."""
    await ctx.object_call(recursive_call, key=ctx.key(), arg=None)


@kill_singleton.handler("recursiveCall")
async def recursive_call(ctx: restate.ObjectContext) -> None:
    """Wait until told to go on, then call the own key, which this invocation holds."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.object_send(hold, key=ctx.key(), arg=awakeable_id)
    await awakeable
    await ctx.object_call(recursive_call, key=ctx.key(), arg=None)


@kill_singleton.handler("isUnlocked")
async def is_singleton_unlocked(ctx: restate.ObjectContext) -> None:
    """Answer, which proves that nothing holds the key."""
