"""The services that the commands are tried on."""

from __future__ import annotations

from datetime import timedelta

import durably

orders = durably.Service("Orders")
carts = durably.VirtualObject("Carts")


@orders.handler()
async def place(ctx: durably.Context, sku: str) -> str:
    """Charge for something, and remember it."""
    charged = await ctx.run_typed("charge", lambda: f"charged {sku}")
    await ctx.object_call(add, key="ada", arg=1)
    return charged


@orders.handler()
async def refuse(ctx: durably.Context) -> None:
    """Fail for good, after a step that fails for good."""
    await ctx.run_typed("check", _refuse)


def _refuse() -> None:
    raise durably.TerminalError("card declined", status_code=402)


@orders.handler()
async def wait(ctx: durably.Context) -> str:
    """Wait for a day."""
    await ctx.sleep(timedelta(days=1))
    return "waited"


@orders.handler()
async def fail(ctx: durably.Context) -> None:
    """Fail each attempt, after a step."""
    await ctx.run_typed("prepare", str)
    raise RuntimeError("the bank is closed")


@orders.handler()
async def nothing(ctx: durably.Context) -> None:
    """Give nothing."""


@carts.handler()
async def add(ctx: durably.ObjectContext, count: int) -> int:
    """Count."""
    total = (await ctx.get("count", type_hint=int) or 0) + count
    ctx.set("count", total)
    return total


app = durably.app([orders, carts])
