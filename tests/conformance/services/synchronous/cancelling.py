"""The services that are cancelled and killed: CancelTest* and KillTest*, with plain `def` handlers.

Owns nothing but the answer of the runner, in state under its key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import durably
from tests.conformance.services.synchronous.keyed import hold

__all__ = ["services"]

Operation = Literal["CALL", "SLEEP", "AWAKEABLE"]
CANCELLED = 409
VERY_LONG = timedelta(days=1000)

runner = durably.VirtualObject("CancelTestRunner")
blocking = durably.VirtualObject("CancelTestBlockingService")
kill_runner = durably.VirtualObject("KillTestRunner")
kill_singleton = durably.VirtualObject("KillTestSingleton")
services = (runner, blocking, kill_runner, kill_singleton)


@runner.handler("startTest")
def start_test(ctx: durably.SyncObjectContext, operation: Operation) -> None:
    """Call a handler that blocks; note when a cancellation ends the call."""
    try:
        ctx.object_call(block, key=ctx.key(), arg=operation)
    except durably.TerminalError as error:
        if error.status_code != CANCELLED:
            raise
        ctx.set("state", True)


@runner.handler("verifyTest")
def verify_test(ctx: durably.SyncObjectContext) -> bool:
    """Tell whether a cancellation was seen."""
    return ctx.get("state", type_hint=bool) or False


@blocking.handler("block")
def block(ctx: durably.SyncObjectContext, operation: Operation) -> None:
    """Wait until told to go on, then block for ever in the way that is asked for."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.object_call(hold, key=ctx.key(), arg=awakeable_id)
    awakeable.result()
    match operation:
        case "CALL":
            ctx.object_call(block, key=ctx.key(), arg=operation)
        case "SLEEP":
            ctx.sleep(VERY_LONG)
        case "AWAKEABLE":
            _, never = ctx.awakeable(type_hint=str)
            never.result()


@blocking.handler("isUnlocked")
def is_unlocked(ctx: durably.SyncObjectContext) -> None:
    """Answer, which proves that nothing holds the key."""


@kill_runner.handler("startCallTree")
def start_call_tree(ctx: durably.SyncObjectContext) -> None:
    """Call the recursive handler."""
    ctx.object_call(recursive_call, key=ctx.key(), arg=None)


@kill_singleton.handler("recursiveCall")
def recursive_call(ctx: durably.SyncObjectContext) -> None:
    """Wait until told to go on, then call the own key, which this invocation holds."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.object_send(hold, key=ctx.key(), arg=awakeable_id)
    awakeable.result()
    ctx.object_call(recursive_call, key=ctx.key(), arg=None)


@kill_singleton.handler("isUnlocked")
def is_singleton_unlocked(ctx: durably.SyncObjectContext) -> None:
    """Answer, which proves that nothing holds the key."""
