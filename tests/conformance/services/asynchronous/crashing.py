"""The service that is crashed while it works, CrashProbe, with `async def` handlers.

Owns nothing: each durable step records which process executed it, so that a result tells which steps were executed
before the crash and which after.
"""

from __future__ import annotations

import asyncio
from typing import TypedDict

from tests.conformance.services.asynchronous.keyed import hold
from tests.conformance.services.contract import attempts, generation
from tests.conformance.services.peer import restate

__all__ = ["services"]

crash_probe = restate.VirtualObject("CrashProbe")
services = (crash_probe,)


class Level(TypedDict):
    """Which processes executed the steps before and after the call to the level below."""

    before: int
    after: int


@crash_probe.handler("twoSteps")
async def two_steps(ctx: restate.ObjectContext, second_step_ms: int) -> list[int]:
    """Run a quick and a slow step; give the processes that executed them."""

    async def slow() -> int:
        attempts.next("slow-step", ctx.key())
        await asyncio.sleep(second_step_ms / 1000)
        return generation()

    return [await ctx.run_typed("quick", generation), await ctx.run_typed("slow", slow)]


@crash_probe.handler("slowStepsBegun", kind="shared")
async def slow_steps_begun(ctx: restate.ObjectSharedContext) -> int:
    """Give how often this process began the slow step of this key."""
    return attempts.value("slow-step", ctx.key())


@crash_probe.handler("descend")
async def descend(ctx: restate.ObjectContext, depth: int) -> list[Level]:
    """Call the level below on a key of its own; the lowest level waits for an awakeable."""
    before = await ctx.run_typed("before", generation)
    below: list[Level] = []
    if depth > 0:
        below = await ctx.object_call(descend, key=f"{ctx.key()}/{depth}", arg=depth - 1)
    else:
        awakeable_id, awakeable = ctx.awakeable(type_hint=str)
        await ctx.object_call(hold, key=ctx.key().partition("/")[0], arg=awakeable_id)
        await awakeable
    after = await ctx.run_typed("after", generation)
    return [{"before": before, "after": after}, *below]
