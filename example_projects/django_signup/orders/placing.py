"""Placing an order: the goods, the row and the message to the handler in one transaction."""

from __future__ import annotations

from django import forms
from django.db import transaction
from django.db.models import F

from durably_django import send_on_commit
from orders import durable
from orders.models import Order, Product

__all__ = ["OrderForm", "OutOfStockError", "place"]


class OutOfStockError(Exception):
    """There is less than was ordered."""


class OrderForm(forms.ModelForm):
    """What, and how many."""

    class Meta:
        """What the form writes."""

        model = Order
        fields = ("product", "quantity")


def place(order: Order) -> None:
    """Take the goods off the shelf, store the order, and have it fulfilled: all of it, or nothing.

    Raises:
        OutOfStockError: There is less than was ordered; nothing is stored, and nothing is sent.
    """
    with transaction.atomic():
        order.save(force_insert=True)
        send_on_commit(durable.fulfil, str(order.number))
        shelf = Product.objects.filter(pk=order.product.pk, in_stock__gte=order.quantity)
        if not shelf.update(in_stock=F("in_stock") - order.quantity):
            raise OutOfStockError(f"fewer than {order.quantity} are left")
