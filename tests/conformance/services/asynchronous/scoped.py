"""The targets of the scope scenario, BlockingProxy and Blocker, with `async def` handlers.

Owns nothing: how many handlers run at once is measured in `contract.concurrent_blocks`.
"""

from __future__ import annotations

from tests.conformance.services.contract import concurrent_blocks
from tests.conformance.services.peer import restate

__all__ = ["services"]

blocking_proxy = restate.Service("BlockingProxy")
blocker = restate.VirtualObject("Blocker")
services = (blocking_proxy, blocker)


@blocking_proxy.handler("block")
async def block(ctx: restate.Context, key: str) -> str:
    """Call a blocker and wait; `key` is `<group>/<n>`, and the group's concurrency is measured."""
    group = key.partition("/")[0]
    concurrent_blocks.enter(group)
    try:
        return await ctx.object_call(run, key=key, arg=None)
    finally:
        concurrent_blocks.leave(group)


@blocking_proxy.handler("mostAtOnce")
async def most_at_once(ctx: restate.Context, group: str) -> int:
    """Give how many `block` handlers of the group ever ran at once in this process."""
    return concurrent_blocks.most(group)


@blocker.handler("run")
async def run(ctx: restate.ObjectContext) -> str:
    """Wait for an awakeable and note its value."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.set("awakeable", awakeable_id)
    result = await awakeable
    ctx.set("result", result)
    return result


@blocker.handler("getAwakeable", kind="shared")
async def get_awakeable(ctx: restate.ObjectSharedContext) -> str:
    """Give the awakeable's id, or an empty string."""
    return await ctx.get("awakeable", type_hint=str) or ""


@blocker.handler("getResult", kind="shared")
async def get_result(ctx: restate.ObjectSharedContext) -> str:
    """Give the noted value, or an empty string."""
    return await ctx.get("result", type_hint=str) or ""
