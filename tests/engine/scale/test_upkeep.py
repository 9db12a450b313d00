"""The file of an engine under a steady load: the log stays short, and what is over leaves the file."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durably
from durably import Context, Engine
from durably.engine.store import sqlite as store_module
from durably.engine.store.sqlite import SqliteStore
from tests.engine.runtime.conftest import eventually

STEPS = 10
SPEAKERS = 16
ROUNDS = 8


def service_of_steps(**options: Any) -> tuple[durably.Service, Any]:
    """Give a service whose handler takes steps."""
    service = durably.Service("Steps", **options)

    @service.handler()
    async def steps(ctx: Context, text: str) -> int:
        for number in range(STEPS):
            await ctx.run_typed(f"step {number}", lambda: text)
        return STEPS

    return service, steps


async def drive(engine: Engine, steps: Any, rounds: int, text: str = "x") -> None:
    """Run workflows, several at once."""

    async def speak() -> None:
        for _ in range(rounds):
            await engine.client().service_call(steps, text)

    await asyncio.gather(*[speak() for _ in range(SPEAKERS)])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", ["x", "x" * 2000], ids=["small", "large"])
async def test_the_log_stays_short_under_a_steady_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    """The writer itself copies the log into the file, on its own thread, so that the log is used again and again."""
    monkeypatch.setattr(store_module, "_CHECKPOINT_ROWS", 100)
    monkeypatch.setattr(store_module, "_CHECKPOINT_ROWS_BUSY", 400)
    threads: list[str] = []
    maintain = SqliteStore.maintain

    def watched(self: SqliteStore, *, is_idle: bool) -> None:
        threads.append(threading.current_thread().name)
        maintain(self, is_idle=is_idle)

    monkeypatch.setattr(SqliteStore, "maintain", watched)
    service, steps = service_of_steps()
    log, sizes = tmp_path / "engine.db-wal", list[int]()
    async with Engine(f"sqlite:///{tmp_path}/engine.db", [service]) as engine:
        for _ in range(ROUNDS):
            await drive(engine, steps, 1, text)
            sizes.append(log.stat().st_size)
    assert len(threads) >= ROUNDS // 2
    assert set(threads) == {"durably-writer"}
    assert max(sizes) < 4 * 1024 * 1024
    assert sizes[-1] < 2 * max(sizes[: ROUNDS // 2]), "it does not grow with the work"


async def test_a_log_that_a_reader_kept_is_cut_without_new_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While somebody reads, the log grows and writes go on; soon after the reader ends an idle engine cuts it."""
    monkeypatch.setattr(store_module, "_CHECKPOINT_ROWS", 100)
    monkeypatch.setattr(store_module, "WAL_LIMIT_BYTES", 200_000)
    monkeypatch.setattr(store_module, "_CUT_PAUSE_S", 0.05)
    monkeypatch.setattr("durably.engine.batches._UPKEEP_S", 0.05)
    service, steps = service_of_steps()
    file = tmp_path / "engine.db"
    async with Engine(f"sqlite:///{file}", [service]) as engine:
        await drive(engine, steps, 1)
        reader = sqlite3.connect(file, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()
        await drive(engine, steps, 3, "x" * 500)
        log = tmp_path / "engine.db-wal"
        assert log.stat().st_size > 200_000
        await asyncio.sleep(0.2)
        assert log.stat().st_size > 200_000
        reader.execute("ROLLBACK")
        reader.close()
        await eventually(lambda: log.stat().st_size <= 200_000, 5)


async def test_what_nobody_keeps_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Invocations whose retention has ended are swept by the running engine, with all that hangs on them."""
    monkeypatch.setattr("durably.engine.core.timers.SWEEP_INTERVAL_MS", 50)
    service, steps = service_of_steps(journal_retention=timedelta(milliseconds=20))
    file = tmp_path / "engine.db"

    def rows(table: str) -> int:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    async with Engine(f"sqlite:///{file}", [service]) as engine:
        connection = sqlite3.connect(file, isolation_level=None)
        await drive(engine, steps, 4)
        await eventually(lambda: rows("invocations") == 0, 10)
        assert [rows(table) for table in ("entries", "results", "timers", "waiters")] == [0, 0, 0, 0]
    connection.close()
