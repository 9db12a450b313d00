"""Refunds: a workflow for each order, which waits until somebody of the staff has decided.

The workflow makes an awakeable and leaves its id in the database. The route of the staff completes it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException
from sqlalchemy import select
from sqlalchemy.orm import Session

from durably import WorkflowContext
from durably_fastapi import DurableClient
from shop import stock
from shop.bank import CurrentBank
from shop.database import Database, StepDatabase
from shop.models import Order, RefundWish
from shop.runtime import durably
from shop.schemas import Decision, OrderRow, Refunded, RefundReason, RefundRow
from shop.security import CurrentBuyer, Staff

__all__ = ["router"]

router = APIRouter(tags=["refunds"])


def own_order(number: str, buyer: CurrentBuyer, db: Database) -> OrderRow:
    """Give an order of who asks. This runs for every HTTP call, also for those that meet a workflow which has begun.

    Raises:
        HTTPException: There is none, or it is somebody else's.
    """
    order = db.get(Order, number)
    if order is None or order.account_id != buyer.id:
        raise HTTPException(404, "no such order")
    return OrderRow.model_validate(order, from_attributes=True)


@router.post("/orders/{number}/refund")
@durably.endpoint(workflow=True, key="number")
async def refund(
    number: str,
    order: Annotated[OrderRow, Depends(own_order)],
    wish: RefundReason,
    ctx: WorkflowContext,
    db: StepDatabase,
    bank: CurrentBank,
) -> Refunded:
    """Ask for the money back, and wait for the staff's decision."""
    awakeable, decided = ctx.awakeable(type_hint=Decision)
    await ctx.run_typed("ask", ask_staff, db=db, number=number, reason=wish.reason, awakeable=awakeable)
    if not (await decided).approved:
        raise HTTPException(403, "the staff said no")
    payment = await ctx.run_typed(
        "give back", bank.refund, payment=number, cents=order.cents, reference=f"refund-{number}"
    )
    await ctx.run_typed("note", stock.set_status, db=db, number=number, status="refunded")
    return Refunded(number=number, cents=order.cents, payment=payment)


def ask_staff(db: Session, *, number: str, reason: str, awakeable: str) -> None:
    """Put a wish on the staff's list."""
    db.merge(RefundWish(order_number=number, reason=reason, awakeable=awakeable))
    db.commit()


@router.get("/refunds", response_model=list[RefundRow])
def wishes(_staff: Staff, db: Database) -> list[RefundWish]:
    """List what has been asked for."""
    return list(db.scalars(select(RefundWish).order_by(RefundWish.order_number)))


@router.post("/refunds/{number}/decision", status_code=202)
async def decide(
    number: str,
    decision: Decision,
    _staff: Staff,
    db: Database,
    durable: DurableClient,
) -> Decision:
    """Decide on a refund; the workflow goes on."""
    wish = db.get(RefundWish, number)
    if wish is None:
        raise HTTPException(404, "nobody asked for that")
    await durable.resolve_awakeable(wish.awakeable, decision)
    wish.decision = "approved" if decision.approved else "refused"
    db.commit()
    return decision
