"""Carts: a virtual object for each, with its content as state.

Whoever changes a cart has it alone, so that two browser tabs cannot overwrite each other. Reading one does not wait.
"""

from __future__ import annotations

import asyncio
import json

from fastapi import APIRouter, HTTPException

from durably import ObjectContext, ObjectSharedContext
from shop.runtime import durably
from shop.schemas import Buyer, Cart, CartLine, NewOrder, Payment, Receipt
from shop.security import CurrentBuyer

__all__ = ["router"]

router = APIRouter(prefix="/carts", tags=["carts"])


async def _cart_of(ctx: ObjectContext | ObjectSharedContext, buyer: Buyer) -> Cart:
    cart = await ctx.get("cart", type_hint=Cart) or Cart(owner_id=buyer.id)
    if cart.owner_id != buyer.id:
        raise HTTPException(404, "no such cart")
    return cart


@router.post("/{cart_id}/lines")
@durably.endpoint(key="cart_id")
async def add(cart_id: str, line: CartLine, buyer: CurrentBuyer, ctx: ObjectContext) -> Cart:
    """Put something into a cart; the first who does so owns it."""
    cart = await _cart_of(ctx, buyer)
    cart.lines[line.sku] = cart.lines.get(line.sku, 0) + line.quantity
    ctx.set("cart", cart)
    return cart


@router.get("/{cart_id}")
@durably.endpoint(key="cart_id", shared=True)
async def show(cart_id: str, buyer: CurrentBuyer, ctx: ObjectSharedContext) -> Cart:
    """Show what is in a cart."""
    return await _cart_of(ctx, buyer)


@router.post("/{cart_id}/checkout", status_code=201)
@durably.endpoint(key="cart_id")
async def check_out(cart_id: str, payment: Payment, buyer: CurrentBuyer, ctx: ObjectContext) -> list[Receipt]:
    """Order everything in a cart, all lines at once, and empty it."""
    cart = await _cart_of(ctx, buyer)
    orders = [NewOrder(sku=sku, quantity=quantity, card=payment.card) for sku, quantity in cart.lines.items()]
    bodies = [{"order": order.model_dump(), "buyer": buyer.model_dump()} for order in orders]
    placed = await asyncio.gather(*[ctx.generic_call("orders", "place", json.dumps(body).encode()) for body in bodies])
    ctx.clear("cart")
    return [Receipt.model_validate_json(receipt) for receipt in placed]
