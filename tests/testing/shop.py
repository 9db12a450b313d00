"""A small shop, for tests of the test kit: one handler of each kind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import durably

__all__ = ["SERVICES", "Receipt", "add", "approve", "fulfil", "greet", "orders", "place", "remind", "stock", "take"]

orders = durably.Service("Orders")
stock = durably.VirtualObject("Stock")
approvals = durably.Workflow("Approvals")
SERVICES = [orders, stock, approvals]


@dataclass
class Receipt:
    """What a charge gives."""

    number: str
    amount: int


def charge(amount: int) -> Receipt:
    """Stand for a payment provider."""
    return Receipt("r-1", amount)


@orders.handler()
async def greet(ctx: durably.Context, name: str) -> str:
    """Greet after a durable step and a pause."""
    greeting = await ctx.run_typed("greeting", lambda: "Hello")
    await ctx.sleep(timedelta(milliseconds=1))
    return f"{greeting} {name}"


@orders.handler()
async def place(ctx: durably.Context, amount: int) -> str:
    """Take from the stock, charge, and pause for three days."""
    left, receipt = await asyncio.gather(
        ctx.object_call(take, "apples", amount), ctx.run_typed("charge", charge, amount=amount)
    )
    await ctx.sleep(timedelta(days=3))
    return f"{receipt.number}: {receipt.amount}, {left} left"


@orders.handler()
async def remind(ctx: durably.Context, days: int) -> float:
    """Sleep a day at a time; give how many days passed by the handler's clock."""
    begin = await ctx.time()
    for _ in range(days):
        await ctx.sleep(timedelta(days=1))
    return round((await ctx.time() - begin) / 86_400, 3)


@stock.handler()
async def take(ctx: durably.ObjectContext, amount: int) -> int:
    """Take from what is left of ten."""
    left = await ctx.get("left", type_hint=int)
    left = (10 if left is None else left) - amount
    ctx.set("left", left)
    return left


@stock.handler()
def add(ctx: durably.SyncObjectContext, amount: int) -> int:
    """Add, in a thread."""
    left = (ctx.get("left", type_hint=int) or 0) + amount
    ctx.set("left", left)
    return left


@approvals.main()
async def fulfil(ctx: durably.WorkflowContext) -> str:
    """Wait for an approval, for a week at most."""
    return await ctx.promise("approval", type_hint=str).value().or_timeout(timedelta(days=7))


@approvals.handler()
async def approve(ctx: durably.WorkflowSharedContext, by: str) -> None:
    """Approve."""
    await ctx.promise("approval", type_hint=str).resolve(by)
