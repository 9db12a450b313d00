"""Thousands of invocations that wait for something: suspended, held by nothing but the file, and woken."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

import durably
from durably import Context, Engine, EngineOptions
from tests.engine.runtime.conftest import eventually

SUSPENDED = 2_000


def _count(file: Path, status: str) -> int:
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT count(*) FROM invocations WHERE status = ?", (status,)).fetchone()[0]


@pytest.mark.timeout(120)
async def test_every_suspended_invocation_wakes(tmp_path: Path):
    """2,000 invocations suspend; each wakes with its own value, gives its own result, and ran its step once."""
    service = durably.Service("Waiting")
    awakeables: dict[int, str] = {}
    steps: list[int] = []

    @service.handler()
    async def wait(ctx: Context, number: int) -> int:
        async def step() -> int:
            steps.append(number)
            return number

        await ctx.run_typed("step", step)
        identifier, word = ctx.awakeable(type_hint=int)
        awakeables[number] = identifier
        return number + await word

    file = tmp_path / "engine.db"
    async with Engine(f"sqlite:///{file}", [service], options=EngineOptions(inactivity_timeout_ms=0)) as engine:
        client = engine.client()
        sent = await asyncio.gather(*[client.service_send(wait, number) for number in range(SUSPENDED)])
        await eventually(lambda: _count(file, "suspended") == SUSPENDED, 60)
        await asyncio.gather(*[client.resolve_awakeable(awakeables[number], 10) for number in range(SUSPENDED)])
        results = await asyncio.gather(*[client.attach(handle.invocation_id, type_hint=int) for handle in sent])
    assert results == [number + 10 for number in range(SUSPENDED)]
    assert sorted(steps) == list(range(SUSPENDED))
    assert _count(file, "completed") == SUSPENDED
