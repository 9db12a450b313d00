"""Services that the client tests call; their handlers never run."""

from __future__ import annotations

from dataclasses import dataclass

import durably

shop = durably.Service("Shop")
cart = durably.VirtualObject("Cart")
signup = durably.Workflow("Signup")


@dataclass
class Order:
    """An order."""

    sku: str
    count: int


@shop.handler()
async def place(ctx: durably.Context, order: Order) -> list[Order]:
    """Take an order."""
    return [order]


@shop.handler()
async def ping(ctx: durably.Context) -> None:
    """Take nothing."""


@shop.handler(accept="*/*")
async def upload(ctx: durably.Context, image: bytes) -> int:
    """Take bytes."""
    return len(image)


@shop.handler()
async def maybe(ctx: durably.Context, order: Order | None) -> int | None:
    """Take an order or nothing."""
    return order.count if order else None


@cart.handler()
async def add(ctx: durably.ObjectContext, order: Order) -> int:
    """Add to a cart."""
    return order.count


@signup.main()
async def run(ctx: durably.WorkflowContext, name: str) -> Order:
    """Run a workflow."""
    return Order(name, 1)


@signup.handler()
async def confirm(ctx: durably.WorkflowSharedContext, code: str) -> bool:
    """Confirm it."""
    return bool(code)
