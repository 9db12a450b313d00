"""What runs while the browser looks: handlers that end, fail, wait and call each other."""

from __future__ import annotations

from datetime import timedelta

from durably import Context, ObjectContext, RunOptions, Service, TerminalError, VirtualObject

orders = Service("checkout")
payments = Service("payments")
stock = VirtualObject("stock")


@stock.handler()
async def reserve(ctx: ObjectContext, count: int) -> int:
    """Take things from the shelf."""
    left = (await ctx.get("left", type_hint=int) or 20) - count
    ctx.set("left", left)
    return left


@orders.handler()
async def place(ctx: Context, order: dict[str, object]) -> dict[str, object]:
    """Charge, reserve, and wait until the parcel is handed over."""
    payment = await ctx.run_typed("charge", lambda: {"payment": "pay_5912", "amount": "39.90"})
    left = await ctx.object_call(reserve, key=str(order["sku"]), arg=1)
    parcel_id, handed_over = ctx.awakeable(type_hint=str)
    await ctx.run_typed("ask the carrier", lambda: f"asked with {parcel_id}")
    if order["sku"] == "gift-card":
        return {**payment, "left": left}
    await ctx.sleep(timedelta(days=2), name="time to pack")
    return {**payment, "left": left, "parcel": await handed_over}


@payments.handler()
async def collect(ctx: Context, invoice: str) -> str:
    """Fail each time."""
    await ctx.run_typed("prepare", lambda: invoice)
    raise RuntimeError("the bank is closed")


@payments.handler()
async def refund(ctx: Context, reason: str) -> None:
    """Fail for good."""
    await ctx.run_typed("check", _refuse, RunOptions(max_attempts=1))


def _refuse() -> None:
    raise TerminalError("card declined", status_code=402)
