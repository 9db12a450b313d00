"""What happens in the database to an order. Each of these can be done twice and has its effect once."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from shop.errors import OutOfStockError
from shop.models import Order, Product, StockMove

__all__ = ["release", "reserve", "set_status"]


def reserve(db: Session, *, number: str, account_id: int, sku: str, quantity: int) -> int:
    """Take goods off the shelf for a new order.

    Returns:
        What they cost together, in cents.

    Raises:
        OutOfStockError: There are not enough, or there is no such product.
    """
    known = db.get(Order, number)
    if known is not None:
        return known.cents
    taken = (
        update(Product)
        .where(Product.sku == sku, Product.in_stock >= quantity)
        .values(in_stock=Product.in_stock - quantity)
        .returning(Product.price_cents)
    )
    price = db.scalars(taken).one_or_none()
    if price is None:
        raise OutOfStockError(f"fewer than {quantity} of {sku!r} are left")
    db.add(Order(number=number, account_id=account_id, sku=sku, quantity=quantity, cents=price * quantity))
    db.flush()
    db.add(StockMove(order_number=number, kind="reserve", change=-quantity))
    db.commit()
    return price * quantity


def release(db: Session, *, number: str) -> None:
    """Put the goods of an order back, and cancel it."""
    order = db.get_one(Order, number)
    moves = select(StockMove).where(StockMove.order_number == number, StockMove.kind == "release")
    if db.scalars(moves).first() is None:
        db.add(StockMove(order_number=number, kind="release", change=order.quantity))
        db.execute(update(Product).where(Product.sku == order.sku).values(in_stock=Product.in_stock + order.quantity))
        order.status = "cancelled"
    db.commit()


def set_status(db: Session, *, number: str, status: str) -> None:
    """Write down how far an order is."""
    db.get_one(Order, number).status = status
    db.commit()
