"""Orders: the goods are reserved, the card is charged, the buyer gets a mail."""

from __future__ import annotations

from uuid import uuid4

from fastapi import APIRouter
from sqlalchemy import select

from shop import stock
from shop.bank import CurrentBank
from shop.database import Database
from shop.models import Order
from shop.post import CurrentPost
from shop.schemas import NewOrder, OrderRow, Receipt
from shop.security import CurrentBuyer

__all__ = ["router"]

router = APIRouter(prefix="/orders", tags=["orders"])


@router.post("", status_code=201)
def place(order: NewOrder, buyer: CurrentBuyer, db: Database, bank: CurrentBank, post: CurrentPost) -> Receipt:
    """Take an order."""
    number = f"O-{uuid4().hex[:10]}"
    cents = stock.reserve(db, number=number, account_id=buyer.id, sku=order.sku, quantity=order.quantity)
    payment = bank.charge(card=order.card, cents=cents, reference=number)
    text = f"Order {number} is on its way."
    post.send(to=buyer.email, subject="Your order", text=text, reference=f"shipped-{number}")
    stock.set_status(db, number=number, status="shipped")
    return Receipt(number=number, cents=cents, payment=payment)


@router.get("", response_model=list[OrderRow])
def orders(buyer: CurrentBuyer, db: Database) -> list[Order]:
    """List the orders of who asks."""
    return list(db.scalars(select(Order).where(Order.account_id == buyer.id).order_by(Order.number)))
