"""Orders: the goods are reserved, the card is charged, the parcel is packed, the buyer gets a mail.

`place` is durable: each of these is a step that is recorded before the next one begins. The process may die anywhere
and go on after the last recorded step. What cannot be finished is undone, last step first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from fastapi import APIRouter
from sqlalchemy import select

from durably import Context, RunOptions, TerminalError
from shop import stock
from shop.bank import CurrentBank
from shop.database import Database, StepDatabase
from shop.models import Order
from shop.post import CurrentPost
from shop.reminders import ask_for_review
from shop.runtime import durably
from shop.schemas import NewOrder, OrderRow, Receipt, ReviewRequest
from shop.security import CurrentBuyer
from shop.settings import CurrentSettings

__all__ = ["router"]

router = APIRouter(prefix="/orders", tags=["orders"])

PATIENTLY: RunOptions[str] = RunOptions(initial_retry_interval=timedelta(milliseconds=100), max_attempts=20)


@router.post("", status_code=201)
@durably.endpoint
async def place(
    order: NewOrder,
    buyer: CurrentBuyer,
    ctx: Context,
    db: StepDatabase,
    bank: CurrentBank,
    post: CurrentPost,
    settings: CurrentSettings,
) -> Receipt:
    """Take an order, and answer when the parcel is on its way."""
    number = f"O-{ctx.uuid().hex[:10]}"  # the same on every attempt
    undo: list[Callable[[], Awaitable[object]]] = []
    try:
        cents = await ctx.run_typed(
            "reserve",
            stock.reserve,
            db=db,
            number=number,
            account_id=buyer.id,
            sku=order.sku,
            quantity=order.quantity,
        )
        undo.append(lambda: ctx.run_typed("release", stock.release, db=db, number=number))
        payment = await ctx.run_typed("charge", bank.charge, PATIENTLY, card=order.card, cents=cents, reference=number)
        undo.append(lambda: ctx.run_typed("refund", bank.refund, payment=payment, cents=cents, reference=number))
        await ctx.sleep(settings.packing)
        await ctx.run_typed(
            "mail",
            post.send,
            to=buyer.email,
            subject="Your order",
            text=f"Order {number} is on its way.",
            reference=f"shipped-{number}",
        )
    except TerminalError:
        for step in reversed(undo):
            await step()
        raise
    await ctx.run_typed("ship", stock.set_status, db=db, number=number, status="shipped")
    review = ReviewRequest(number=number, email=buyer.email)
    ctx.service_send(ask_for_review, review, send_delay=settings.reminder_after)
    return Receipt(number=number, cents=cents, payment=payment)


@router.get("", response_model=list[OrderRow])
def orders(buyer: CurrentBuyer, db: Database) -> list[Order]:
    """List the orders of who asks."""
    return list(db.scalars(select(Order).where(Order.account_id == buyer.id).order_by(Order.number)))
