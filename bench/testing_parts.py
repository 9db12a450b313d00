"""What `bench.testing` measures, one part a process.

Owns the typical handler (an input, two steps, a call, a timer, state) and its test, on the harness in memory and on the
one with a real server; and the year of timers.

python -m bench.testing_parts PART
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from datetime import timedelta

import durably
from durably.testing.crashes import CrashOptions, crash_everywhere
from durably.testing.embedded import EmbeddedEnvironment
from durably.testing.harness import create_test_harness

TESTS = 21
SERVER_TESTS = 3
DAYS = 365

shop = durably.Service("BenchShop")
stock = durably.VirtualObject("BenchStock")


@stock.handler()
async def take(ctx: durably.ObjectContext, amount: int) -> int:
    left = (await ctx.get("left", type_hint=int) or 10) - amount
    ctx.set("left", left)
    return left


@shop.handler()
async def place(ctx: durably.Context, amount: int) -> str:
    receipt = await ctx.run_typed("charge", lambda: "r-1")
    left = await ctx.object_call(take, "apples", amount)
    await ctx.sleep(timedelta(milliseconds=1))
    sent = await ctx.run_typed("mail", lambda: True)
    return f"{receipt} {left} {sent}"


@shop.handler()
async def wait_a_year(ctx: durably.Context) -> float:
    begin = await ctx.time()
    for _ in range(DAYS):
        await ctx.sleep(timedelta(days=1))
    return (await ctx.time() - begin) / 86_400


async def one_test(*, server: bool) -> float:
    """Give the milliseconds of one test, from before its harness to after it."""
    begin = time.perf_counter()
    async with create_test_harness([shop, stock], server=server) as env:
        assert await env.client.call(place, 1) == "r-1 9 True"
    return (time.perf_counter() - begin) * 1000


async def memory() -> dict[str, float]:
    """Test after test on the embedded engine; the first one in a process also imports it."""
    taken = [await one_test(server=False) for _ in range(TESTS)]
    return {"first_ms": taken[0], "ms": statistics.median(taken[1:])}


async def server() -> dict[str, float]:
    """The same tests, each with a real server of its own."""
    return {"ms": statistics.median([await one_test(server=True) for _ in range(SERVER_TESTS)])}


async def year() -> dict[str, float]:
    """A year of daily timers, harness included; and what it would take if every wait were replayed."""
    found: dict[str, float] = {}
    for name, always_replay in (("ms", False), ("replayed_ms", True)):
        begin = time.perf_counter()
        async with create_test_harness([shop, stock], skip_time=True, always_replay=always_replay) as env:
            assert round(await env.client.call(wait_a_year)) == DAYS
        found[name] = (time.perf_counter() - begin) * 1000
    return found


async def crashes() -> dict[str, float]:
    """The typical handler with a crash at each of its journal entries."""

    async def scenario(env: EmbeddedEnvironment) -> object:
        return await env.client.call(place, 1)

    begin = time.perf_counter()
    report = (await crash_everywhere(scenario, [shop, stock], options=CrashOptions(processes=0))).check()
    return {"ms": (time.perf_counter() - begin) * 1000, "runs": report.runs}


PARTS = {"memory": memory, "server": server, "year": year, "crashes": crashes}


def main() -> None:
    """Measure one part and print it as JSON."""
    print(json.dumps(asyncio.run(PARTS[sys.argv[1]]())))


if __name__ == "__main__":
    main()
