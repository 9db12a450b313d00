"""Ten thousand timers, and an engine that starts on them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

import durably
from durably import Context, Engine, EngineOptions, ManualClock
from tests.engine.runtime.conftest import eventually

TIMERS = 10_000
EARLY = 4_000
START_SECONDS = 1.0
HOUR = timedelta(hours=1)


class Sleepers:
    """A service whose invocations sleep for an hour, or for two."""

    def __init__(self) -> None:
        self.service = durably.Service("Sleepers")
        self.begun: Counter[int] = Counter()
        self.woken: Counter[int] = Counter()

        @self.service.handler()
        async def sleep(ctx: Context, number: int) -> None:
            self.begun[number] += 1
            await ctx.sleep(HOUR if number < EARLY else 2 * HOUR)
            self.woken[number] += 1

        self.sleep = sleep


def _pending(file: Path) -> int:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT count(*) FROM timers").fetchone()[0]


@pytest.mark.timeout(240)
async def test_pending_timers_survive_a_restart(tmp_path: Path):
    """An engine starts on 10,000 pending timers at once; none of them rings early, and none is lost."""
    file = tmp_path / "engine.db"
    clock = ManualClock()
    options = EngineOptions(inactivity_timeout_ms=0)
    before = Sleepers()
    async with Engine(f"sqlite:///{file}", [before.service], clock=clock, options=options) as engine:
        client = engine.client()
        for first in range(0, TIMERS, 500):
            await asyncio.gather(*[client.service_send(before.sleep, number) for number in range(first, first + 500)])
            await eventually(lambda: len(before.begun) >= first + 500, 30)  # noqa: B023
    assert _pending(file) == TIMERS

    after = Sleepers()
    engine = Engine(f"sqlite:///{file}", [after.service], clock=clock, options=options)
    begun = time.monotonic()
    async with engine:
        assert time.monotonic() - begun < START_SECONDS
        await asyncio.sleep(0.05)
        assert after.woken == Counter()
        # Handlers compute their times on the wall clock, which went on while they were started.
        clock.advance(HOUR - timedelta(seconds=1))
        await asyncio.sleep(0.05)
        assert after.woken == Counter()
        clock.advance(timedelta(minutes=10))
        await eventually(lambda: len(after.woken) >= EARLY, 60)
        assert after.woken == Counter(range(EARLY))
        clock.advance(HOUR)
        await eventually(lambda: len(after.woken) >= TIMERS, 90)
    assert after.woken == Counter(range(TIMERS))
    assert before.woken == Counter()
    assert _pending(file) == 0
