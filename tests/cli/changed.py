"""The services of `shop` after a careless change: a step has another name, a handler another one, one is gone."""

from __future__ import annotations

import durably

orders = durably.Service("Orders")
carts = durably.VirtualObject("Carts")


@orders.handler()
async def place(ctx: durably.Context, sku: str) -> str:
    """Charge for something, under another name."""
    return await ctx.run_typed("pay", lambda: f"charged {sku}")


@orders.handler()
async def refuse(ctx: durably.Context) -> None:
    """Do nothing of what the journal holds."""


@orders.handler()
async def wait(ctx: durably.Context) -> str:
    """Fail where the journal goes on."""
    raise ValueError("not now")


@carts.handler()
async def add(ctx: durably.ObjectContext, count: int) -> int:
    """Count as before."""
    total = (await ctx.get("count", type_hint=int) or 0) + count
    ctx.set("count", total)
    return total


app = durably.app([orders, carts])
services = [orders, carts]
endpoint = durably.Endpoint().bind(orders, carts)
wsgi = durably.wsgi_app([orders, carts])
nothing: list[object] = []


def make_app() -> object:
    """Make an application."""
    return app
