"""Tasks of the shop, for whichever task framework the project has."""

# pyright: reportMissingModuleSource=false

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

from durably import Context, SyncContext, current_context
from durably.errors import RetryableError, TerminalError
from durably_django.tasks.framework import PACKAGE
from tests.django.project.shop.models import Entry

if PACKAGE == "django.tasks":
    from django.tasks import TaskContext, task
else:
    from django_tasks import TaskContext, task

calls: list[Any] = []
"""What ran in this process, in order."""

let_go = threading.Event()


@task
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@task
async def add_async(a: int, b: int = 1) -> int:
    """Add."""
    await Entry.objects.acreate(text=f"sum {a + b}")
    return a + b


@task(queue_name="reports")
def report(name: str) -> dict[str, Any]:
    """Store an entry."""
    with transaction.atomic():
        Entry.objects.create(text=f"report {name}")
    return {"name": name, "lines": [1, 2]}


@task
def echo(value: Any) -> Any:
    """Give back what came."""
    return value


@task
def raising(text: str) -> None:
    """Fail."""
    raise LookupError(text)


@task
async def raising_async(text: str) -> None:
    """Fail."""
    raise LookupError(text)


@task
def leaving() -> None:
    """Fail in another way."""
    raise SystemExit("enough")


@task
async def interrupting() -> None:
    """Fail in yet another way, which no event loop would survive."""
    raise KeyboardInterrupt("enough")


@task
def unwritable() -> Any:
    """Give what JSON cannot say."""
    return object


@task
def endless() -> float:
    """Give a number that JSON has not."""
    return float("nan")


@task(takes_context=True)
def attempts(context: TaskContext, name: str, fail_until: int = 0) -> list[Any]:
    """Say which attempt this is; fail before the wanted one."""
    calls.append((name, context.attempt))
    if context.attempt < fail_until:
        raise LookupError(f"attempt {context.attempt}")
    return [context.attempt, context.task_result.id, context.task_result.status]


@task
def refusing(name: str) -> None:
    """Fail for good."""
    calls.append((name, "refused"))
    raise TerminalError("never")


@task
def flickering(name: str) -> int:
    """Ask to be run again, twice."""
    calls.append((name, "flickered"))
    if calls.count((name, "flickered")) < 3:
        raise RetryableError("not yet")
    return calls.count((name, "flickered"))


@task
def ship(name: str) -> str:
    """Store an entry at the beginning and one at the end, and take a while."""
    Entry.objects.create(text=f"begun {name}")
    time.sleep(0.03)
    Entry.objects.create(text=f"shipped {name}")
    return name


@task
def in_steps(name: str, ctx: SyncContext) -> list[str]:
    """Take two steps, with a wait between them."""
    calls.append((name, "attempt"))
    first = ctx.run_typed("first", _step, text=f"first {name}")
    ctx.sleep(timedelta(milliseconds=20))
    return [first, ctx.run_typed("second", _step, text=f"second {name}")]


@task(takes_context=True)
async def in_steps_async(context: TaskContext, ctx: Context, name: str) -> list[Any]:
    """Do the same, awaiting; the durable context stands between the others."""
    calls.append((name, "attempt"))
    first = await ctx.run_typed("first", _step_async, text=f"first {name}")
    await ctx.sleep(timedelta(milliseconds=20))
    return [first, await ctx.run_typed("second", _step_async, text=f"second {name}"), context.attempt]


@task
def steps_then_failure(ctx: SyncContext, name: str) -> None:
    """Take a step, and fail."""
    ctx.run_typed("first", _step, text=f"first {name}")
    raise LookupError(name)


@task
def waits(ctx: SyncContext, name: str) -> str:
    """Wait for somebody."""
    awakeable_id, answer = ctx.start.awakeable(type_hint=str)
    ctx.run_typed("ask", _step, text=f"asked {name} {ctx.invocation_id} {awakeable_id}")
    return answer.result()


@task
def counts_connections() -> bool:
    """Use the database; say whether there is a connection."""
    Entry.objects.count()
    return connection.connection is not None


def _step(text: str) -> str:
    calls.append(("step", text))
    Entry.objects.create(text=text)
    return text


async def _step_async(text: str) -> str:
    calls.append(("step", text))
    await Entry.objects.acreate(text=text)
    return text


@task
def holding() -> None:
    """Run until the test lets go."""
    calls.append(current_context().invocation_id)
    assert let_go.wait(10)


@task
async def holding_async() -> None:
    """Do the same, awaiting."""
    calls.append(current_context().invocation_id)
    assert await asyncio.to_thread(let_go.wait, 10)
