"""Services that are found because of the module's name."""

import threading
from datetime import timedelta

from asgiref.sync import sync_to_async
from django.db import transaction

from durably import Context, Service, SyncContext, SyncObjectContext, VirtualObject
from durably.sync import gather  # noqa: F401 - a name that is no service
from tests.django.project.shop.models import Entry

orders = Service("orders")
baskets = VirtualObject("baskets")


@orders.handler()
def place(ctx: SyncContext, order_id: str) -> int:
    """Store two entries, one in a step and one outside, and wait between."""
    ctx.run_typed("store", store, text=f"step {order_id}")
    ctx.sleep(timedelta(milliseconds=1))
    return Entry.objects.filter(text=f"step {order_id}").count()


@orders.handler()
async def place_async(ctx: Context, order_id: str) -> int:
    """Do the same with Django's asynchronous interface."""
    await ctx.run_typed("store", store_async, text=f"step {order_id}")
    await ctx.sleep(timedelta(milliseconds=1))
    return await Entry.objects.filter(text=f"step {order_id}").acount()


@orders.handler()
def record(ctx: SyncContext, text: str) -> None:
    """Store one entry in a step: what the outbox sends."""
    ctx.run_typed("store", store, text=text)


@baskets.handler()
def put(ctx: SyncObjectContext, item: str) -> int:
    """Count what was put into a basket."""
    count = (ctx.get("count", type_hint=int) or 0) + 1
    ctx.set("count", count)
    return count


def store(text: str) -> int:
    """Store an entry."""
    return int(Entry.objects.create(text=text).pk)


async def store_async(text: str) -> int:
    """Store an entry."""
    return int((await Entry.objects.acreate(text=text)).pk)


@orders.handler()
def note_once(ctx: SyncContext, text: str) -> None:
    """Store which invocation a message started; a repeated step stores nothing more."""

    def note() -> None:
        Entry.objects.get_or_create(text=f"{text} {ctx.invocation_id}")

    ctx.run_typed("note", note)


@orders.handler()
def use_and_wait(ctx: SyncContext, name: str) -> int:
    """Use the database in the handler and in a step, and wait for somebody."""
    awakeable_id, answer = ctx.start.awakeable(type_hint=int)
    Entry.objects.filter(text=name).count()
    ctx.run_typed("store", store, text=f"waits {awakeable_id}")
    Entry.objects.filter(text=name).count()
    return answer.result()


@orders.handler()
def wait_and_end(ctx: SyncContext, name: str) -> None:
    """Use the database outside and inside of steps, before and after waiting for somebody."""
    awakeable_id, answer = ctx.start.awakeable(type_hint=int)
    Entry.objects.filter(text=name).count()
    ctx.run_typed("store", store, text=f"{name} waits {awakeable_id}")
    Entry.objects.filter(text=name).count()
    answer.result()
    Entry.objects.filter(text=name).count()
    ctx.run_typed("end", store, text=f"{name} ended")


@orders.handler()
async def wait_and_end_async(ctx: Context, name: str) -> None:
    """Do the same with Django's asynchronous interface."""
    awakeable_id, answer = ctx.awakeable(type_hint=int)
    await Entry.objects.filter(text=name).acount()
    await ctx.run_typed("store", store_async, text=f"{name} waits {awakeable_id}")
    await Entry.objects.filter(text=name).acount()
    await answer
    await Entry.objects.filter(text=name).acount()
    await ctx.run_typed("end", store_async, text=f"{name} ended")


@orders.handler()
def use_transactions(ctx: SyncContext, name: str) -> list[str]:
    """Use transactions in a step and between waits, nested and durable ones."""

    def in_step() -> None:
        with transaction.atomic(durable=True):
            store(f"{name} outer")
            point = transaction.savepoint()
            store(f"{name} undone")
            transaction.savepoint_rollback(point)
            with transaction.atomic():
                store(f"{name} inner")

    ctx.run_typed("store", in_step)
    with transaction.atomic(durable=True):
        Entry.objects.get_or_create(text=f"{name} between")
    ctx.sleep(timedelta(milliseconds=1))
    return sorted(Entry.objects.filter(text__startswith=name).values_list("text", flat=True))


@orders.handler()
async def use_threads(ctx: Context, name: str) -> bool:
    """Say whether code that is bound to a thread runs in one: before a step, in it, and after a wait."""

    def here() -> int:
        Entry.objects.get_or_create(text=name)
        return threading.get_ident()

    first = await sync_to_async(here)()

    async def in_step() -> bool:
        return await sync_to_async(here)() == first

    same = await ctx.run_typed("here", in_step)
    await ctx.sleep(timedelta(milliseconds=1))
    return same and await sync_to_async(here, thread_sensitive=True)() == first
