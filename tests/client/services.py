"""Services that the clients are tried on, on every runtime.

Owns an application for a process of its own, and the same services for an engine in the process of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import durably
from durably.client import expose_promises, signal_service
from durably.errors import InvocationCancelledError

__all__ = ["Note", "Parcel", "app", "services"]

desk = durably.Service("Desk")
drawer = durably.VirtualObject("Drawer")
enrolment = durably.Workflow("Enrolment")


@dataclass(frozen=True)
class Parcel:
    """Something with a type of its own."""

    sku: str
    count: int


@dataclass(frozen=True)
class Note:
    """What a handler saw of its invocation."""

    key: str
    headers: dict[str, str]


@desk.handler()
async def double(ctx: durably.Context, parcel: Parcel) -> Parcel:
    """Give twice as many."""
    return Parcel(parcel.sku, parcel.count * 2)


@desk.handler()
def double_blocking(ctx: durably.SyncContext, parcel: Parcel) -> Parcel:
    """Give twice as many, in a `def` handler."""
    return Parcel(parcel.sku, parcel.count * 2)


@desk.handler()
async def count(ctx: durably.Context, parcel: Parcel | None) -> int | None:
    """Give the number, or nothing."""
    return parcel.count if parcel else None


@desk.handler()
async def token(ctx: durably.Context) -> str:
    """Give something new in each invocation."""
    return str(ctx.uuid())


@desk.handler()
async def refuse(ctx: durably.Context, status: int) -> None:
    """Fail for good, with a status and metadata."""
    raise durably.TerminalError("refused", status_code=status, metadata={"desk": "one"})


@desk.handler()
async def headers(ctx: durably.Context) -> dict[str, str]:
    """Give the headers that came along."""
    return dict(ctx.request().headers)


@desk.handler()
async def await_signal(ctx: durably.Context, name: str) -> str:
    """Wait for a signal."""
    return await ctx.signal(name, type_hint=str)


@desk.handler()
async def linger(ctx: durably.Context) -> str:
    """Wait for what never comes; tell when it is cancelled."""
    try:
        return await ctx.signal("never", type_hint=str)
    except InvocationCancelledError:
        return "cancelled"


@drawer.handler()
async def key_of(ctx: durably.ObjectContext) -> str:
    """Give the key."""
    return ctx.key()


@drawer.handler()
async def await_word(ctx: durably.ObjectContext) -> str:
    """Wait for an awakeable, whose id `word_id` gives."""
    name, word = ctx.awakeable(type_hint=str)
    ctx.set("word", name)
    return await word


@drawer.handler(kind="shared")
async def word_id(ctx: durably.ObjectSharedContext) -> str | None:
    """Give the id of the awakeable, if there is one yet."""
    return await ctx.get("word", type_hint=str)


@enrolment.main()
async def enrol(ctx: durably.WorkflowContext, name: str) -> Parcel:
    """Wait for a promise."""
    return Parcel(name, await ctx.promise("seats", type_hint=int))


@enrolment.handler()
async def key_of_run(ctx: durably.WorkflowSharedContext) -> str:
    """Give the key."""
    return ctx.key()


expose_promises(enrolment)
services = [desk, drawer, enrolment, signal_service()]
app = durably.app(services)
