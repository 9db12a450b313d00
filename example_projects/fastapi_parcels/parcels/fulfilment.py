"""The durable part of the shop: what happens to an order from the shelf to the courier.

One virtual object for each order. Every step is recorded before the next one begins, so a process that dies in the
middle continues after its last recorded step when it, or another one, is up again.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

import durably
from durably import ObjectContext, ObjectSharedContext, RunOptions, TerminalError
from parcels import partners
from parcels.store import OutOfStockError, Store

store = Store(Path(os.environ.get("PARCELS_DIRECTORY", "parcels-data")))
PICKUP = timedelta(seconds=float(os.environ.get("PARCELS_PICKUP_SECONDS", "3600")))
CARRIER_RETRIES: RunOptions[str] = RunOptions(initial_retry_interval=timedelta(milliseconds=200), max_attempts=5)


class Order(BaseModel):
    """What a customer wants."""

    order_id: str
    customer: str
    email: str
    item: str
    quantity: int
    card: str
    postcode: str


class Outcome(BaseModel):
    """How an order ended."""

    order_id: str
    status: str
    note: str


fulfilment = durably.VirtualObject("Fulfilment")


@fulfilment.handler()
async def fulfil(ctx: ObjectContext, order: Order) -> Outcome:
    """Reserve, charge, label, wait for the courier, tell the customer; take back what cannot be finished."""

    def reserve() -> int:
        try:
            return store.reserve(order.order_id, order.item, order.quantity)
        except OutOfStockError as problem:
            raise TerminalError(str(problem), status_code=409) from problem

    def charge(cents: int, reference: str) -> str:
        try:
            return partners.charge(store, order.order_id, order.card, cents, reference)
        except partners.CardDeclinedError as problem:
            raise TerminalError(str(problem), status_code=402) from problem

    def label() -> str:
        return partners.print_label(store, order.order_id, order.postcode)

    async def finish(status: str, note: str) -> Outcome:
        ctx.set("stage", status)
        await ctx.run_typed(
            "status", store.set_status, order_id=order.order_id, customer=order.customer, status=status, note=note
        )
        return Outcome(order_id=order.order_id, status=status, note=note)

    ctx.set("stage", "reserving")
    try:
        cents = await ctx.run_typed("reserve", reserve)
    except TerminalError as problem:
        return await finish("refused", problem.message)
    try:
        await ctx.run_typed("charge", charge, cents=cents, reference=str(ctx.uuid()))
    except TerminalError as problem:
        await ctx.run_typed("release", store.release, order_id=order.order_id, item=order.item, quantity=order.quantity)
        return await finish("refused", problem.message)
    printed = await ctx.run_typed("label", label, CARRIER_RETRIES)
    ctx.set("stage", "waiting for the courier")
    await ctx.sleep(PICKUP)
    await ctx.run_typed(
        "mail", partners.send_mail, store=store, order_id=order.order_id, email=order.email, label=printed
    )
    return await finish("shipped", printed)


@fulfilment.handler(kind="shared")
async def stage(ctx: ObjectSharedContext) -> str:
    """Tell where an order is, also while it is being fulfilled."""
    return await ctx.get("stage", type_hint=str) or "unknown"
