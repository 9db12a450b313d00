"""Ordering, and giving back what was ordered."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from durably import SyncObjectContext
from durably_django import durable
from history.models import note
from orders.durable import mail
from orders.models import Order, Product
from orders.placing import OrderForm, OutOfStockError, place

__all__ = ["give_back", "orders"]


@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """List the user's orders, and take a new one. An ordinary view: what is durable leaves with its transaction."""
    form = OrderForm(request.POST or None, instance=Order(buyer=cast("User", request.user)))
    if request.method == "POST" and form.is_valid():
        try:
            place(form.save(commit=False))
            return redirect("orders")
        except OutOfStockError as error:
            form.add_error("quantity", str(error))
    mine = Order.objects.filter(buyer=cast("User", request.user)).select_related("product")
    context = {"form": form, "orders": mine}
    return render(request, "orders/orders.html", context, status=400 if form.errors else 200)


@login_required
@require_POST
@durable(key="number")
def give_back(request: HttpRequest, number: str, ctx: SyncObjectContext) -> HttpResponse:
    """Take an order back: a durable view, one call at a time for each order, and nothing is done twice."""
    order = get_object_or_404(Order, pk=number, buyer=request.user)
    if order.state == Order.State.PLACED:
        raise Http404("It is not shipped yet.")
    if not ctx.get("returned", type_hint=bool):
        ctx.run_typed("take back", take_back, number=str(number))
        ctx.run_typed("credit", mail, number=str(number), kind="credit")
        ctx.set("returned", True)
    return redirect("orders")


def take_back(number: str) -> None:
    """Put the goods on the shelf again."""
    with transaction.atomic():
        if note(number, "returned"):
            order = Order.objects.get(pk=number)
            Product.objects.filter(pk=order.product.pk).update(in_stock=F("in_stock") + order.quantity)
            Order.objects.filter(pk=number).update(state=Order.State.RETURNED)
