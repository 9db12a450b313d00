"""The targets of the scope scenario, BlockingProxy and Blocker, with plain `def` handlers.

Owns nothing: how many handlers run at once is measured in `contract.concurrent_blocks`.
"""

from __future__ import annotations

import durably
from tests.conformance.services.contract import concurrent_blocks

__all__ = ["services"]

blocking_proxy = durably.Service("BlockingProxy")
blocker = durably.VirtualObject("Blocker")
services = (blocking_proxy, blocker)


@blocking_proxy.handler("block")
def block(ctx: durably.SyncContext, key: str) -> str:
    """Call a blocker and wait; `key` is `<group>/<n>`, and the group's concurrency is measured."""
    group = key.partition("/")[0]
    concurrent_blocks.enter(group)
    try:
        return ctx.object_call(run, key=key, arg=None)
    finally:
        concurrent_blocks.leave(group)


@blocking_proxy.handler("mostAtOnce")
def most_at_once(ctx: durably.SyncContext, group: str) -> int:
    """Give how many `block` handlers of the group ever ran at once in this process."""
    return concurrent_blocks.most(group)


@blocker.handler("run")
def run(ctx: durably.SyncObjectContext) -> str:
    """Wait for an awakeable and note its value."""
    awakeable_id, awakeable = ctx.awakeable(type_hint=str)
    ctx.set("awakeable", awakeable_id)
    result = awakeable.result()
    ctx.set("result", result)
    return result


@blocker.handler("getAwakeable", kind="shared")
def get_awakeable(ctx: durably.SyncObjectSharedContext) -> str:
    """Give the awakeable's id, or an empty string."""
    return ctx.get("awakeable", type_hint=str) or ""


@blocker.handler("getResult", kind="shared")
def get_result(ctx: durably.SyncObjectSharedContext) -> str:
    """Give the noted value, or an empty string."""
    return ctx.get("result", type_hint=str) or ""
