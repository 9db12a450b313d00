"""What goes in and out of the routes."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = [
    "Buyer",
    "Cart",
    "CartLine",
    "Decision",
    "NewAccount",
    "NewOrder",
    "OrderRow",
    "Payment",
    "ProductRow",
    "Receipt",
    "RefundReason",
    "RefundRow",
    "Refunded",
    "ReviewRequest",
    "Token",
]


class NewAccount(BaseModel):
    """Somebody signs up."""

    name: str = Field(min_length=2, max_length=40, pattern=r"^[a-z][a-z0-9_.-]*$")
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    password: str = Field(min_length=8)


class Buyer(BaseModel):
    """Who is signed in."""

    id: int
    name: str
    email: str
    is_staff: bool = False


class Token(BaseModel):
    """What signing in gives."""

    access_token: str
    token_type: str = "bearer"


class ProductRow(BaseModel):
    """A line of the catalogue."""

    sku: str
    title: str
    price_cents: int
    in_stock: int


class NewOrder(BaseModel):
    """What a buyer wants, and the card to pay with."""

    sku: str
    quantity: int = Field(ge=1, le=20)
    card: str = Field(pattern=r"^\d{4}-\d{4}$")


class Receipt(BaseModel):
    """How an order ended well."""

    number: str
    cents: int
    payment: str


class OrderRow(BaseModel):
    """An order as its buyer sees it."""

    number: str
    sku: str
    quantity: int
    cents: int
    status: str


class CartLine(BaseModel):
    """Something to put into a cart."""

    sku: str
    quantity: int = Field(ge=1, le=20)


class Cart(BaseModel):
    """What is in a cart, and whose it is."""

    owner_id: int
    lines: dict[str, int] = {}


class Payment(BaseModel):
    """How a cart is paid for."""

    card: str = Field(pattern=r"^\d{4}-\d{4}$")


class RefundReason(BaseModel):
    """Why somebody wants their money back."""

    reason: str = Field(min_length=1, max_length=200)


class RefundRow(BaseModel):
    """A wish for a refund as the staff sees it."""

    order_number: str
    reason: str
    decision: str


class Decision(BaseModel):
    """What the staff makes of it."""

    approved: bool


class Refunded(BaseModel):
    """How a refund ended well."""

    number: str
    cents: int
    payment: str


class ReviewRequest(BaseModel):
    """Whom to ask for a review of what."""

    number: str
    email: str
