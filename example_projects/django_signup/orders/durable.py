"""Fulfilling an order."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string

from durably import Service, SyncContext
from history.models import note
from orders.models import Order

fulfilment = Service("fulfilment")


@fulfilment.handler()
def fulfil(ctx: SyncContext, number: str) -> None:
    """Send the invoice, wait until the parcel is packed, ship it, and say so."""
    ctx.run_typed("invoice", mail, number=number, kind="invoice")
    ctx.sleep(settings.ORDER_PACKING)
    ctx.run_typed("ship", ship, number=number)
    ctx.run_typed("tell", mail, number=number, kind="shipped")


def ship(number: str) -> None:
    """Hand the parcel over."""
    with transaction.atomic():
        if note(number, "shipped"):
            Order.objects.filter(pk=number).update(state=Order.State.SHIPPED)


def mail(number: str, kind: str) -> None:
    """Send one of the mails in `templates/orders/mails`."""
    order = Order.objects.select_related("buyer", "product").get(pk=number)
    subject, _, body = render_to_string(f"orders/mails/{kind}.txt", {"order": order}).partition("\n")
    headers = {"Message-ID": f"<{kind}-{number}@shop.example>"}
    EmailMessage(subject, body.strip() + "\n", to=[order.buyer.email], headers=headers).send()
