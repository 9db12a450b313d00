"""The tables of the shop."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Account", "Model", "Order", "Product", "RefundWish", "StockMove"]


class Model(DeclarativeBase):
    """What all tables have in common."""


class Account(Model):
    """Somebody who can sign in."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str]
    password_hash: Mapped[str]
    is_staff: Mapped[bool] = mapped_column(default=False)


class Product(Model):
    """Something to buy, and how many there are."""

    __tablename__ = "products"

    sku: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    price_cents: Mapped[int]
    in_stock: Mapped[int]


class Order(Model):
    """An order, from the moment its goods were taken off the shelf.

    `status` is `reserved`, `shipped`, `cancelled` or `refunded`.
    """

    __tablename__ = "orders"

    number: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    sku: Mapped[str] = mapped_column(ForeignKey("products.sku"))
    quantity: Mapped[int]
    cents: Mapped[int]
    status: Mapped[str] = mapped_column(default="reserved")


class StockMove(Model):
    """One line for everything that was taken off the shelf or put back; an order does each at most once."""

    __tablename__ = "stock_moves"
    __table_args__ = (UniqueConstraint("order_number", "kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_number: Mapped[str] = mapped_column(ForeignKey("orders.number"))
    kind: Mapped[str]
    change: Mapped[int]


class RefundWish(Model):
    """Somebody wants their money back. `decision` is empty until the staff has one."""

    __tablename__ = "refund_wishes"

    order_number: Mapped[str] = mapped_column(ForeignKey("orders.number"), primary_key=True)
    reason: Mapped[str]
    awakeable: Mapped[str]
    decision: Mapped[str] = mapped_column(default="")
