"""The types of clients: of what they call, give and take. Read by mypy and pyright, never run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, assert_type

import durably
from durably import Context, ObjectContext, ObjectSharedContext, SyncContext, SyncObjectContext, WorkflowContext
from durably.client import (
    BlockingDurablyClient,
    DurablyClient,
    Foreign,
    InvocationAnswer,
    InvocationOutput,
    RestateClient,
    RestateClientSendHandle,
    ScopedClient,
)
from durably.client.aio import Client
from durably.client.blocking import BlockingClient
from durably.engine.blocking_client import BlockingEngineClient
from durably.engine.client import EngineClient
from durably.serde import JsonSerde, Serde

T = TypeVar("T")


@dataclass
class Order:
    """An input."""

    number: int


@dataclass
class Page(Generic[T]):
    """A generic result."""

    items: list[T]


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


@shop.handler()
async def maybe(ctx: Context, order: Order | None) -> Order | None:
    """Take an order or nothing, and give it back."""
    return order


@shop.handler()
async def pages(ctx: Context, page: Page[Order]) -> Page[int]:
    """Take and give generics."""
    return Page([each.number for each in page.items])


@shop.handler()
async def ping(ctx: Context) -> None:
    """Take nothing and give nothing."""


@cart.handler()
async def add(ctx: ObjectContext, order: Order) -> list[int]:
    """Be an exclusive handler of an object."""
    return [order.number]


@cart.handler()
def drop(ctx: SyncObjectContext, order: Order) -> dict[str, int]:
    """Be a `def` handler of an object."""
    return {}


@cart.handler(kind="shared")
async def total(ctx: ObjectSharedContext) -> int:
    """Be a shared handler without input."""
    return 0


@signup.main()
async def run(ctx: WorkflowContext, email: str) -> bool:
    """Be the main handler of a workflow."""
    return True


quote: Foreign[Order, int] = Foreign("Prices", "quote", input=Order, output=int)
lookup = Foreign("Prices", "lookup", output=str)
forget = Foreign("Prices", "forget", input=str)
wake = Foreign("Prices", "wake")
any_page: Serde[Page[int]] = JsonSerde()
listing = Foreign("Prices", "listing", input=Order, output=any_page)


async def calls(client: DurablyClient) -> None:
    """A call has the result type of the handler of whatever kind, and its argument is checked."""
    assert_type(await client.call(price, Order(1)), int)
    assert_type(await client.call(weight, Order(1), timeout=timedelta(seconds=1)), float)
    assert_type(await client.call(maybe, Order(1)), Order | None)
    assert_type(await client.call(maybe, None), Order | None)
    assert_type(await client.call(pages, Page([Order(1)])), Page[int])
    assert_type(await client.call(ping), None)
    assert_type(await client.call(add, Order(1), key="k"), list[int])
    assert_type(await client.call(drop, Order(1), key="k"), dict[str, int])
    assert_type(await client.call(total, key="k"), int)
    assert_type(await client.service_call(price, Order(1), timeout=timedelta(seconds=1)), int)
    assert_type(await client.object_call(add, "k", Order(1)), list[int])
    assert_type(await client.workflow_call(run, "k", "a@example.com"), bool)
    assert_type(await client.generic_call("Shop", "price", b"{}"), bytes)
    assert_type(client.scope("s"), ScopedClient)
    assert_type(await client.scope("s").service_call(weight, Order(1)), float)
    await client.call(price, "an order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.call(shop)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def sends(client: DurablyClient) -> None:
    """A send gives a handle with the id of the invocation; results are typed by a hint, or by the handler."""
    handle = await client.send(add, Order(1), key="k", delay=timedelta(hours=1))
    assert_type(handle, RestateClientSendHandle)
    assert_type(handle.invocation_id, str)
    assert_type(await client.workflow_submit(run, "k", "a@example.com"), RestateClientSendHandle)
    assert_type(await client.workflow_attach(run, "k"), bool)
    assert_type(await client.workflow_output(run, "k"), InvocationOutput[bool])
    assert_type((await client.workflow_output(run, "k")).value, bool | None)
    assert_type(await client.generic_attach(handle.invocation_id), InvocationAnswer)
    assert_type(await client.generic_output(handle.invocation_id), InvocationAnswer | None)
    assert_type(await client.cancel(handle.invocation_id), None)
    assert_type(await client.resolve_promise(run, "k", "confirmed", True), None)
    await client.send(add, 3, key="k")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def foreign(client: DurablyClient) -> None:
    """A foreign handler has the types that it was given; what was left out is None."""
    assert_type(await client.call(quote, Order(1)), int)
    assert_type(lookup, Foreign[None, str])
    assert_type(await client.call(lookup), str)
    assert_type(forget, Foreign[str, None])
    assert_type(await client.call(forget, "a"), None)
    assert_type(wake, Foreign[None, None])
    assert_type(await client.call(listing, Order(1)), Page[int])
    assert_type(await client.workflow_attach(lookup, "k"), str)
    await client.call(quote, "an order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def blocking(client: BlockingDurablyClient) -> None:
    """On a client that blocks the value itself comes back, of `def` and `async def` handlers."""
    assert_type(client.call(price, Order(1)), int)
    assert_type(client.call(weight, Order(1)), float)
    assert_type(client.call(maybe, None), Order | None)
    assert_type(client.call(pages, Page([Order(1)])), Page[int])
    assert_type(client.object_call(drop, "k", Order(1)), dict[str, int])
    assert_type(client.send(price, Order(1)), RestateClientSendHandle)
    assert_type(client.workflow_attach(run, "k"), bool)
    assert_type(client.workflow_output(run, "k"), InvocationOutput[bool])
    assert_type(client.call(quote, Order(1)), int)
    assert_type(client.call(lookup), str)
    assert_type(client.generic_output("inv_1"), InvocationAnswer | None)
    client.call(price, "an order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def one_for_another(
    http: Client, engine: EngineClient, blocking_http: BlockingClient, blocking_engine: BlockingEngineClient
) -> list[Any]:
    """Clients over HTTP and in process stand in each other's place, and in that of restate-sdk's interface."""
    either: list[DurablyClient] = [http, engine]
    each: list[BlockingDurablyClient] = [blocking_http, blocking_engine]
    peers: list[RestateClient] = [http, engine]
    return [either, each, peers]
