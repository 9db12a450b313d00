"""The types that contexts give. Read by mypy and pyright, never run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import assert_type
from uuid import UUID

from durably import (
    Context,
    DurablePromise,
    ObjectContext,
    ObjectSharedContext,
    RestateDurableFuture,
    RunOptions,
    SyncObjectContext,
    SyncWorkflowContext,
    WorkflowContext,
    WorkflowSharedContext,
)


@dataclass
class Receipt:
    """A result that is not a builtin."""

    number: int


async def charge(card: str, cents: int = 100) -> Receipt:
    """Be an `async def` step."""
    return Receipt(cents)


def label(parcel: str) -> bytes:
    """Be a `def` step."""
    return parcel.encode()


async def steps(ctx: Context) -> None:
    """A step has the type of its action's result, and its arguments are checked."""
    assert_type(await ctx.run_typed("charge", charge, card="4000"), Receipt)
    assert_type(await ctx.run_typed("charge", charge, RunOptions(max_attempts=3), card="4000", cents=5), Receipt)
    assert_type(await ctx.run_typed("label", label, parcel="A"), bytes)
    assert_type(await ctx.run("charge", charge, args=("4000",)), Receipt)
    assert_type(await ctx.run("label", lambda: 3), int)
    assert_type(ctx.run_typed("label", label, parcel="A"), RestateDurableFuture[bytes])
    ctx.run_typed("charge", charge, card=4000)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    ctx.run_typed("label", label)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def time_and_chance(ctx: Context) -> None:
    """Deterministic time and chance have the types of the standard library's."""
    assert_type(await ctx.sleep(timedelta(seconds=1)), None)
    assert_type(await ctx.time(), float)
    assert_type(ctx.random(), Random)
    assert_type(ctx.uuid(), UUID)


async def completed_from_outside(ctx: Context) -> None:
    """Awakeables and signals have the type of the hint."""
    awakeable_id, future = ctx.awakeable(type_hint=datetime)
    assert_type(awakeable_id, str)
    assert_type(await future, datetime)
    assert_type(await ctx.signal("paid", type_hint=Receipt), Receipt)
    assert_type(await ctx.attach_invocation("inv_1", type_hint=Receipt), Receipt)


async def state(ctx: ObjectContext, shared: ObjectSharedContext) -> None:
    """State may be missing; only an exclusive handler writes it."""
    assert_type(await ctx.get("receipt", type_hint=Receipt), Receipt | None)
    assert_type(await ctx.state_keys(), list[str])
    assert_type(ctx.key(), str)
    ctx.set("receipt", Receipt(1))
    shared.set("receipt", Receipt(1))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def promises(ctx: WorkflowContext, shared: WorkflowSharedContext) -> None:
    """A promise has a type, and nothing when peeked at too early."""
    promise = ctx.promise("approved", type_hint=bool)
    assert_type(promise, DurablePromise[bool])
    assert_type(await promise.value(), bool)
    assert_type(await shared.promise("approved", type_hint=bool).peek(), bool | None)
    assert_type(await promise.resolve(True), None)


async def on_futures(ctx: Context) -> None:
    """A mapped future has the type of the mapping."""
    assert_type(await ctx.run_typed("label", label, parcel="A").map(len), int)
    assert_type(await ctx.run_typed("label", label, parcel="A").or_timeout(timedelta(seconds=1)), bytes)


def futures_of_def_handlers(ctx: SyncWorkflowContext, cart: SyncObjectContext) -> None:
    """`start` has the operations of the context that it belongs to."""
    assert_type(ctx.start, WorkflowContext)
    assert_type(ctx.start.promise("approved", type_hint=bool).value(), RestateDurableFuture[bool])
    assert_type(cart.start.get("count", type_hint=int).result(), int | None)
