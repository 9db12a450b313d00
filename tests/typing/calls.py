"""The types of handlers and of calls between them. Read by mypy and pyright, never run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

import durably
from durably import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    RestateDurableCallFuture,
    SendHandle,
    SyncContext,
    WorkflowContext,
)


@dataclass
class Order:
    """An input that is not a builtin."""

    number: int


shop = durably.Service("Shop")
cart = durably.VirtualObject("Cart")
signup = durably.Workflow("Signup")


@shop.handler()
async def price(ctx: Context, order: Order) -> int:
    """Be an `async def` handler of a service."""
    return order.number


@shop.handler()
def weight(ctx: SyncContext, order: Order) -> float:
    """Be a `def` handler of a service."""
    return 1.0


@cart.handler()
async def add(ctx: ObjectContext, order: Order) -> list[int]:
    """Be an exclusive handler of an object."""
    return [order.number]


@cart.handler(kind="shared")
async def total(ctx: ObjectSharedContext) -> int:
    """Be a shared handler without input."""
    return 0


@shop.handler()
async def converted(ctx: Context, order: Order, rate: float) -> int:
    """Take what an adapter fills, after the input."""
    return round(order.number * rate)


@signup.main()
async def run(ctx: WorkflowContext, email: str) -> bool:
    """Be the run handler of a workflow."""
    return True


async def a_registered_function_stays_callable(ctx: Context) -> None:
    """Registering gives the function back as it was."""
    assert_type(await price(ctx, Order(1)), int)


async def calls(ctx: Context) -> None:
    """A call has the result type of the handler, and its argument is checked."""
    assert_type(await ctx.service_call(price, Order(1)), int)
    assert_type(ctx.service_call(price, Order(1)), RestateDurableCallFuture[int])
    assert_type(await ctx.service_call(weight, Order(1)), float)
    assert_type(await ctx.service_call(converted, Order(1)), int)
    assert_type(await ctx.object_call(add, "key", Order(1)), list[int])
    assert_type(await ctx.workflow_call(run, "key", "a@example.com"), bool)
    assert_type(await ctx.call(add, Order(1), key="key"), list[int])
    assert_type(await ctx.generic_call("Shop", "price", b"{}"), bytes)
    ctx.service_call(price, "an order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def sends(ctx: Context) -> None:
    """A send gives a handle with the id of the invocation."""
    handle = ctx.service_send(price, Order(1), send_delay=timedelta(hours=1))
    assert_type(handle, SendHandle)
    assert_type(await handle.invocation_id(), str)
    ctx.object_send(add, "key", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def sync_calls(ctx: SyncContext) -> None:
    """On a sync context the value itself comes back."""
    assert_type(ctx.service_call(price, Order(1)), int)
    assert_type(ctx.sleep(timedelta(seconds=1)), None)
