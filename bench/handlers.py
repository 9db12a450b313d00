"""The measured handlers, written once for both packages: `durably` has the authoring API of `restate-sdk`."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from bench.driver import App
from bench.floor import floor_app

SIDES = ("durably", "restate", "floor")


async def async_step() -> int:
    return 1


def plain_step() -> int:
    return 1


def app_of(side: str) -> App:
    """Build the ASGI app of one side, with logging off so that neither pays for a message nobody reads."""
    if side == "floor":
        return floor_app
    logging.disable(logging.CRITICAL)
    framework: Any = importlib.import_module(side)
    bench = framework.Service("Bench")

    async def trivial(ctx: Any, count: int) -> int:
        return count

    async def steps(ctx: Any, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await ctx.run_typed("step", async_step)
        return total

    async def plain_steps(ctx: Any, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await ctx.run_typed("step", plain_step)
        return total

    async def wait(ctx: Any, count: int) -> int:
        _, promise = ctx.awakeable(type_hint=int)
        return await promise

    for function in (trivial, steps, plain_steps, wait):
        function.__annotations__ = {"ctx": framework.Context, "count": int, "return": int}
        bench.handler()(function)
    return framework.app([bench])
