"""Many timers outlive the engine: none is lost, none is early, and starting again does not take longer for them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import durably
from durably.engine.records import EngineOptions
from durably.testing.oracles import check_file, check_image, check_quiescent, require
from durably.testing.store_images import StoreImage

TIMERS = 10_000
AT_ONCE = 200
START_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


def test_ten_thousand_timers_outlive_a_restart(tmp_path: Path) -> None:
    """Ten thousand sleeping invocations are stored, found again by the next engine, and all wake up, none early."""
    sleeper = durably.Service("Sleeper")

    @sleeper.handler()
    async def doze(ctx: durably.Context, due_ms: int) -> int:
        await ctx.sleep(timedelta(milliseconds=max(0, due_ms - int(time.time() * 1000))))
        return due_ms

    def engine() -> durably.Engine:
        options = EngineOptions(inactivity_timeout_ms=0)
        return durably.Engine(f"sqlite:///{tmp_path / 'engine.db'}", services=[sleeper], options=options)

    async def begin() -> None:
        async with engine() as first:
            client = first.client()
            due_ms = int(time.time() * 1000) + 6000
            for _ in range(TIMERS // AT_ONCE):
                await asyncio.gather(*[client.service_send(doze, arg=due_ms) for _ in range(AT_ONCE)])

    async def finish() -> float:
        begun = time.monotonic()
        async with engine() as second:
            started = time.monotonic() - begun
            while await second.read(lambda reader: bool(reader.next_timer() or reader.running("", 1))):
                assert time.monotonic() - begun < PATIENCE_SECONDS
                await asyncio.sleep(0.05)
            return started

    asyncio.run(begin())
    assert asyncio.run(finish()) < START_SECONDS
    image = StoreImage.read(tmp_path / "engine.db")
    assert len(image.invocations) == TIMERS
    require(*check_image(image), *check_quiescent(image), *check_file(tmp_path / "engine.db"))
