"""The service that is crashed while it works, CrashProbe, with plain `def` handlers.

Owns nothing: each durable step records which process executed it, so that a result tells which steps were executed
before the crash and which after.
"""

from __future__ import annotations

import time
from typing import TypedDict

import durably
from tests.conformance.services.contract import attempts, generation
from tests.conformance.services.synchronous.keyed import hold

__all__ = ["services"]

crash_probe = durably.VirtualObject("CrashProbe")
services = (crash_probe,)


class Level(TypedDict):
    """Which processes executed the steps before and after the call to the level below."""

    before: int
    after: int


@crash_probe.handler("twoSteps")
def two_steps(ctx: durably.SyncObjectContext, second_step_ms: int) -> list[int]:
    """Run a quick and a slow step; give the processes that executed them."""

    def slow() -> int:
        attempts.next("slow-step", ctx.key())
        time.sleep(second_step_ms / 1000)
        return generation()

    return [ctx.run_typed("quick", generation), ctx.run_typed("slow", slow)]


@crash_probe.handler("slowStepsBegun", kind="shared")
def slow_steps_begun(ctx: durably.SyncObjectSharedContext) -> int:
    """Give how often this process began the slow step of this key."""
    return attempts.value("slow-step", ctx.key())


@crash_probe.handler("descend")
def descend(ctx: durably.SyncObjectContext, depth: int) -> list[Level]:
    """Call the level below on a key of its own; the lowest level waits for an awakeable."""
    before = ctx.run_typed("before", generation)
    below: list[Level] = []
    if depth > 0:
        below = ctx.object_call(descend, key=f"{ctx.key()}/{depth}", arg=depth - 1)
    else:
        awakeable_id, awakeable = ctx.awakeable(type_hint=str)
        ctx.object_call(hold, key=ctx.key().partition("/")[0], arg=awakeable_id)
        awakeable.result()
    after = ctx.run_typed("after", generation)
    return [{"before": before, "after": after}, *below]
