"""Planted bugs, each beside its correct twin: the same scenario calls either one.

Handlers of `BUGS` and `TWINS` have the same names. The line that a report must name ends in a comment `# the bug`; it
is the line that does wrong, or the one at which the handler is seen to leave its journal.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import durably
from durably.testing.effects import Effects

__all__ = ["BUGS", "EFFECTS", "NAMES", "TWINS", "crash", "reset"]

BUGS = durably.Service("Bugs")
TWINS = durably.Service("Twins")
EFFECTS = Effects()
SETTING = "DURABLY_GALLERY_TARIFF"
SEEN: list[str] = []
ATTEMPTS: dict[str, int] = {}
NAPS: list[int] = []


def reset() -> None:
    """Begin a run as a fresh process would, with the same outside world."""
    EFFECTS.clear()
    SEEN.clear()
    ATTEMPTS.clear()
    NAPS.clear()
    os.environ[SETTING] = "old"


def crash() -> None:
    """Change what changes while a service is down."""
    os.environ[SETTING] = "new"


def nothing() -> None:
    """Stand for a step."""


def quote(what: str) -> str:
    """Stand for a step that gives something."""
    return f"quote for {what}"


def fetched() -> dict[str, int]:
    """Stand for a service outside, which orders its answer as it likes."""
    NAPS.append(1)
    prices = {"apple": 1, "pear": 2, "plum": 3}
    return prices if len(NAPS) % 2 else dict(reversed(prices.items()))


# ---- a step outside of `run`


@BUGS.handler("outside")
async def outside(ctx: durably.Context) -> None:
    """Send a mail in passing."""
    EFFECTS.record("mail", "Ada")  # the bug
    await ctx.run_typed("note", nothing)


@TWINS.handler("outside")
async def outside_right(ctx: durably.Context) -> None:
    """Send it in a step, with a key."""
    await ctx.run_typed("mail", lambda: EFFECTS.record("mail", "Ada", key="mail-1") and None)
    await ctx.run_typed("note", nothing)


# ---- a branch on chance


@BUGS.handler("chance")
async def chance(ctx: durably.Context) -> None:
    """Toss a coin."""
    side = "heads" if random.random() < 0.5 else "tails"
    await ctx.run_typed(side, nothing)  # the bug
    await ctx.run_typed("end", nothing)


@TWINS.handler("chance")
async def chance_right(ctx: durably.Context) -> None:
    """Toss the invocation's own coin."""
    side = "heads" if ctx.random().random() < 0.5 else "tails"
    await ctx.run_typed(side, nothing)
    await ctx.run_typed("end", nothing)


# ---- a swallowed suspension


@BUGS.handler("swallowed")
async def swallowed(ctx: durably.Context) -> str:
    """Give up on anything at all."""
    try:
        await ctx.sleep(timedelta(hours=1))  # the bug
    except BaseException:
        return "gave up"
    return "slept"


@TWINS.handler("swallowed")
async def swallowed_right(ctx: durably.Context) -> str:
    """Give up on errors only."""
    try:
        await ctx.sleep(timedelta(hours=1))
    except Exception:
        return "gave up"
    return "slept"


# ---- the time, read from the clock


@BUGS.handler("clock")
async def clock(ctx: durably.Context) -> None:
    """Name a step by the time."""
    await ctx.run_typed(f"at {time.monotonic_ns()}", nothing)  # the bug
    await ctx.run_typed("end", nothing)


@TWINS.handler("clock")
async def clock_right(ctx: durably.Context) -> None:
    """Name it by the recorded time."""
    await ctx.run_typed(f"at {await ctx.time()}", nothing)
    await ctx.run_typed("end", nothing)


# ---- a set, iterated into commands


@BUGS.handler("unordered")
async def unordered(ctx: durably.Context) -> None:
    """Ask for quotes in the order of a set."""
    for what in {"apple", "pear", "plum", "fig", "date", "lime", "kiwi", "grape"}:
        await ctx.run_typed(what, quote, what=what)  # the bug


@TWINS.handler("unordered")
async def unordered_right(ctx: durably.Context) -> None:
    """Sort it."""
    for what in sorted({"apple", "pear", "plum", "fig", "date", "lime", "kiwi", "grape"}):
        await ctx.run_typed(what, quote, what=what)


# ---- an identifier, made outside of `run`


@BUGS.handler("identifier")
async def identifier(ctx: durably.Context) -> None:
    """Send under a new identifier."""
    ctx.service_send(note, str(uuid.uuid4()))  # the bug
    await ctx.run_typed("end", nothing)


@TWINS.handler("identifier")
async def identifier_right(ctx: durably.Context) -> None:
    """Send under one that every attempt makes alike."""
    ctx.service_send(note, str(ctx.uuid()))
    await ctx.run_typed("end", nothing)


@TWINS.handler()
async def note(ctx: durably.Context, text: str) -> None:
    """Take a note."""


# ---- what the process remembers


@BUGS.handler("remembered")
async def remembered(ctx: durably.Context) -> None:
    """Warm a cache once per process."""
    if "warm" not in SEEN:
        SEEN.append("warm")
        await ctx.run_typed("warm up", nothing)
    await ctx.run_typed("work", nothing)  # the bug


@TWINS.handler("remembered")
async def remembered_right(ctx: durably.Context) -> None:
    """Warm it in every invocation."""
    await ctx.run_typed("warm up", nothing)
    await ctx.run_typed("work", nothing)


# ---- a setting that changes between attempts


@BUGS.handler("setting")
async def setting(ctx: durably.Context) -> None:
    """Charge by the tariff of the day."""
    await ctx.run_typed("begin", nothing)
    await ctx.run_typed(f"{os.environ[SETTING]} tariff", nothing)  # the bug
    await ctx.run_typed("end", nothing)


@TWINS.handler("setting")
async def setting_right(ctx: durably.Context) -> None:
    """Charge by the tariff that was in force when it began."""
    tariff = await ctx.run_typed("begin", lambda: os.environ.get(SETTING, "old"))
    await ctx.run_typed("charge", lambda: bool(tariff))
    await ctx.run_typed("end", nothing)


# ---- a race against a timer of the process


async def slow() -> None:
    """Take a while."""
    await asyncio.sleep(0.02)


@BUGS.handler("race")
async def race(ctx: durably.Context) -> None:
    """Wait for whichever is first: a step, or a moment of the event loop."""
    step: asyncio.Future[Any] = asyncio.ensure_future(ctx.run_typed("slow", slow))
    moment: asyncio.Future[Any] = asyncio.ensure_future(asyncio.sleep(0.002))
    done, _ = await asyncio.wait({step, moment}, return_when=asyncio.FIRST_COMPLETED)
    await ctx.run_typed("step" if step in done else "moment", nothing)  # the bug
    await step
    await ctx.run_typed("end", nothing)


@TWINS.handler("race")
async def race_right(ctx: durably.Context) -> None:
    """Let two durable operations race."""
    step, moment = ctx.run_typed("slow", slow), ctx.sleep(timedelta(minutes=5))
    done, _ = await durably.wait_completed(step, moment)
    await ctx.run_typed("step" if step in done else "moment", nothing)
    await step
    await ctx.run_typed("end", nothing)


# ---- the input, changed in place


@BUGS.handler("mutated")
async def mutated(ctx: durably.Context, order: dict[str, Any]) -> None:
    """Let a step fill in what is missing."""
    await ctx.run_typed("complete", lambda: order.update(total=7))
    await ctx.run_typed(f"charge {order.get('total')}", nothing)  # the bug
    await ctx.run_typed("end", nothing)


@TWINS.handler("mutated")
async def mutated_right(ctx: durably.Context, order: dict[str, Any]) -> None:
    """Let the step give it."""
    total = await ctx.run_typed("complete", lambda: 7)
    await ctx.run_typed(f"charge {total}", nothing)
    await ctx.run_typed("end", nothing)


# ---- an effect that cannot be repeated, before its result is stored


@BUGS.handler("repeated")
async def repeated(ctx: durably.Context) -> None:
    """Charge without an idempotency key."""
    await ctx.run_typed("charge", lambda: EFFECTS.record("charge", 7) and None)  # the bug


@TWINS.handler("repeated")
async def repeated_right(ctx: durably.Context) -> None:
    """Charge with one."""
    key = str(ctx.uuid())
    await ctx.run_typed("charge", lambda: EFFECTS.record("charge", 7, key=key) and None)


# ---- the order of a dict from outside


@BUGS.handler("order")
async def order(ctx: durably.Context) -> None:
    """Go through what a service outside gave."""
    for name in fetched():
        await ctx.run_typed(name, nothing)  # the bug


@TWINS.handler("order")
async def order_right(ctx: durably.Context) -> None:
    """Record the answer first."""
    for name in await ctx.run_typed("fetch", lambda: list(fetched())):
        await ctx.run_typed(name, nothing)


# ---- a race of threads


@BUGS.handler("threads")
def threads(ctx: durably.SyncContext) -> None:
    """Do things in the order in which threads finish."""
    ATTEMPTS["threads"] = ATTEMPTS.get("threads", 0) + 1
    first, second = ("a", "b") if ATTEMPTS["threads"] % 2 else ("b", "a")  # who wins is anybody's guess
    finished: list[str] = []
    for name in (first, second):
        thread = threading.Thread(target=finished.append, args=(name,))
        thread.start()
        thread.join()
    for name in finished:
        ctx.run_typed(name, nothing)  # the bug


@TWINS.handler("threads")
def threads_right(ctx: durably.SyncContext) -> None:
    """Do them in an order of one's own."""
    for name in sorted({"a", "b"}):
        ctx.run_typed(name, nothing)


NAMES = [name for name in BUGS.handlers if name in TWINS.handlers]
