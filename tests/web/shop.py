"""Services that the tests of calls use, and gates that hold their handlers up."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import durably

__all__ = ["cart", "gates", "runs", "services", "shop", "signup"]

shop = durably.Service("Shop")
cart = durably.VirtualObject("Cart")
signup = durably.Workflow("Signup")

gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""A handler that is told of a gate waits until it is open."""

runs: list[Any] = []
"""What steps were executed with."""


@shop.handler()
async def place(ctx: durably.Context, order: dict[str, Any]) -> dict[str, Any]:
    """Place an order: echo it, wait at a gate, or fail."""
    if "fail" in order:
        raise durably.TerminalError(order.get("message", "no stock"), order["fail"], {"sku": "a"})
    if "gate" in order:
        await ctx.run_typed("gate", _wait, durably.RunOptions(), order["gate"])
    return {"order": order, "headers": dict(ctx.request().headers)}


@cart.handler()
async def add(ctx: durably.ObjectContext, order: dict[str, Any]) -> list[Any]:
    """Add to a cart."""
    items = [*(await ctx.get("items", type_hint=list[Any]) or []), order]
    ctx.set("items", items)
    return [ctx.key(), items]


@signup.main()
async def run(ctx: durably.WorkflowContext, order: dict[str, Any]) -> list[Any]:
    """Sign up once."""
    if "fail" in order:
        raise durably.TerminalError("refused", order["fail"])
    if "gate" in order:
        await ctx.run_typed("gate", _wait, durably.RunOptions(), order["gate"])
    return [ctx.key(), order]


@signup.handler()
async def status(ctx: durably.WorkflowSharedContext, order: dict[str, Any]) -> str:
    """Tell whose it is."""
    return ctx.key()


def _wait(gate: str) -> bool:
    runs.append(gate)
    return gates[gate].wait(10)


services = (shop, cart, signup)
