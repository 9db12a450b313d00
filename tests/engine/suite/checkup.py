"""A small engine with one of every promise, played in a second: what a sound engine passes and a broken one does not.

Owns the handlers, the requests, and what must be true of the answers; of the file the oracles tell.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import durably
from durably.engine.options import EngineOptions, OnMaxAttempts, RetryPolicy
from durably.testing.oracles import (
    Finding,
    Interval,
    KeyedAnswer,
    check_acknowledged,
    check_effects,
    check_exclusion,
    check_file,
    check_idempotency,
    check_image,
    check_quiescent,
)
from durably.testing.store_images import StoreImage

__all__ = ["check_up"]

ResultT = TypeVar("ResultT")

_PATIENCE_SECONDS: Final = 1.5
_ATTEMPTS: Final = 3
_POLICY: Final = RetryPolicy(
    initial_interval_ms=1, max_interval_ms=2, max_attempts=_ATTEMPTS, on_max_attempts=OnMaxAttempts.KILL
)
_SHORT: Final = timedelta(milliseconds=20)
_LONG: Final = timedelta(milliseconds=400)


class _Notes:
    """What handlers did, outside of their journals."""

    def __init__(self) -> None:
        self.attempts = 0
        self.steps: list[str] = []
        self.order: list[int] = []
        self.intervals: list[Interval] = []


def _services(notes: _Notes) -> tuple[Any, ...]:
    plain, thing, flow = durably.Service("Plain"), durably.VirtualObject("Thing"), durably.Workflow("Flow")
    numbers = itertools.count()

    @plain.handler()
    async def poisoned(ctx: durably.Context) -> None:
        notes.attempts += 1
        raise ValueError("never works")

    @plain.handler()
    async def number(ctx: durably.Context) -> int:
        def step() -> int:
            notes.steps.append("number")
            return next(numbers)

        return await ctx.run_typed("number", step)

    @plain.handler()
    async def sleeps(ctx: durably.Context) -> None:
        short, long = ctx.sleep(_SHORT), ctx.sleep(_LONG)
        await short
        await long

    @plain.handler()
    async def waits(ctx: durably.Context) -> None:
        await ctx.awakeable()[1]

    @plain.handler()
    async def parent(ctx: durably.Context) -> None:
        await ctx.service_call(waits, None)

    @thing.handler()
    async def note(ctx: durably.ObjectContext, position: int) -> None:
        notes.order.append(position)

        async def step() -> None:
            begin = time.monotonic()
            await asyncio.sleep(0.01)
            notes.intervals.append(Interval(ctx.key(), ctx.request().id, begin, time.monotonic()))

        await ctx.run_typed("step", step)

    @thing.handler()
    async def holds(ctx: durably.ObjectContext) -> None:
        await ctx.awakeable()[1]

    @flow.main()
    async def run(ctx: durably.WorkflowContext) -> list[str]:
        first = await ctx.promise("word", type_hint=str).value()
        await ctx.sleep(_SHORT)
        return [first, await ctx.promise("word", type_hint=str).value()]

    @flow.handler()
    async def tell(ctx: durably.WorkflowSharedContext, word: str) -> None:
        await ctx.promise("word", type_hint=str).resolve(word)

    return plain, thing, flow


async def check_up(file: Path) -> list[Finding]:
    """Play on a new file, and give all that is not as it must be; a sound engine has nothing.

    Raises:
        Exception: The engine broke altogether.
    """
    notes, told = _Notes(), list[str]()
    options = EngineOptions(retry_policy=_POLICY, inactivity_timeout_ms=0)
    async with durably.Engine(
        f"sqlite:///{file}", _services(notes), options=options, stop_grace=timedelta(seconds=0.2)
    ) as engine:
        client = engine.client()
        findings: list[Finding] = []
        for part in (
            partial(_poison, client, notes),
            partial(_idempotency, client, notes),
            partial(_timers, client, told),
            partial(_order, client, notes, told),
            partial(_kill, client, told),
            partial(_cancel, client, told),
            partial(_promises, client),
        ):
            findings += [] if findings else await _in_time(part)
        await asyncio.sleep(0.02)  # whatever comes too often comes now
        image = StoreImage.read(file)
    return [
        *findings,
        *check_image(image),
        *check_quiescent(image),
        *check_acknowledged(image, told),
        *check_file(file),
    ]


async def _in_time(part: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await part()
    except TimeoutError:
        return [Finding("O12", "a part", "it has not ended")]


async def _poison(client: Any, notes: _Notes) -> list[Finding]:
    await _failed(client.generic_call("Plain", "poisoned", b""))
    return [] if notes.attempts == _ATTEMPTS else [Finding("F27", "poisoned", f"{notes.attempts} attempts")]


async def _idempotency(client: Any, notes: _Notes) -> list[Finding]:
    sent = [await client.generic_send("Plain", "number", b"", idempotency_key="once") for _ in range(3)]
    answers = [
        KeyedAnswer("once", each.invocation_id, str(await client.attach(each.invocation_id)).encode()) for each in sent
    ]
    return [*check_idempotency(answers), *check_effects(notes.steps, ["number"], crashes=0)]


async def _timers(client: Any, told: list[str]) -> list[Finding]:
    handle = await client.generic_send("Plain", "sleeps", b"")
    told.append(handle.invocation_id)
    await client.attach(handle.invocation_id)
    return []


async def _order(client: Any, notes: _Notes, told: list[str]) -> list[Finding]:
    sent = [await client.generic_send("Thing", "note", str(n).encode(), key="order") for n in range(5)]
    told += [each.invocation_id for each in sent]
    for each in sent:
        await client.attach(each.invocation_id)
    first = list(dict.fromkeys(notes.order))
    order = [] if first == sorted(first) else [Finding("O4", "Thing/order", f"played as {first}")]
    return [*order, *check_exclusion(notes.intervals)]


async def _kill(client: Any, told: list[str]) -> list[Finding]:
    holding = await client.generic_send("Thing", "holds", b"", key="kill")
    await asyncio.sleep(0.05)
    await client.kill(holding.invocation_id)
    told.append(holding.invocation_id)
    await client.generic_call("Thing", "note", b"99", key="kill")
    parent = await client.generic_send("Plain", "parent", b"")
    await asyncio.sleep(0.05)
    await client.kill(parent.invocation_id)
    return []


async def _cancel(client: Any, told: list[str]) -> list[Finding]:
    parent = await client.generic_send("Plain", "parent", b"")
    told.append(parent.invocation_id)
    await asyncio.sleep(0.05)
    await client.cancel(parent.invocation_id)
    await _failed(client.attach(parent.invocation_id))
    return []


async def _promises(client: Any) -> list[Finding]:
    running = await client.generic_send("Flow", "run", b"", key="w")
    await client.generic_call("Flow", "tell", b'"first"', key="w")
    refused = await _failed(client.generic_call("Flow", "tell", b'"second"', key="w"))
    heard: Any = await client.attach(running.invocation_id)
    findings = [] if refused else [Finding("O2", "Flow/w", "a promise was completed twice")]
    return findings if heard == ["first", "first"] else [*findings, Finding("O2", "Flow/w", f"it heard {heard}")]


async def _failed(call: Awaitable[object]) -> bool:
    try:
        await call
    except durably.HttpError:
        return True
    return False
