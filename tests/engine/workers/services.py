"""What the workers run: handlers of both kinds, which leave a line in a log for each attempt and each executed step.

Owns the handlers and the log. A line has the process, and the lease of the file at that moment, so that a test sees
whether somebody ran what another one drives.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import durably
from durably import Context, EngineOptions, SyncContext
from durably.engine.records import RetryPolicy

__all__ = ["Work", "append", "make_work", "read_lease", "work_began"]

_PAUSE = timedelta(milliseconds=250)
_OPTIONS = EngineOptions(retry_policy=RetryPolicy(initial_interval_ms=50, max_interval_ms=200))


@dataclass(frozen=True)
class Work:
    """An engine that is not started, and its handlers by name."""

    folder: Path
    engine: durably.Engine
    handlers: dict[str, Any]


def make_work(folder: Path) -> Work:
    """Make the engine of the file in a folder."""
    work = durably.Service("Work")

    def note(kind: str, name: str) -> str:
        epoch, owner = read_lease(folder)
        token = f"{name}:{os.urandom(4).hex()}"
        line = {"kind": kind, "token": token, "pid": os.getpid(), "epoch": epoch, "owner": owner}
        append(folder / "log", json.dumps({**line, "at": time.monotonic_ns()}))
        return token

    def tell(key: str, awakeable: str) -> None:
        append(folder / "held", f"{key} {awakeable}")

    @work.handler()
    async def run(ctx: Context, key: str) -> list[str]:
        note("attempt", key)
        first = await ctx.run_typed("first", note, kind="step", name=f"{key}/first")
        await ctx.sleep(_PAUSE)
        return [first, await ctx.run_typed("second", note, kind="step", name=f"{key}/second")]

    @work.handler()
    def block(ctx: SyncContext, key: str) -> list[str]:
        note("attempt", key)
        first = ctx.run_typed("first", note, kind="step", name=f"{key}/first")
        ctx.sleep(_PAUSE)
        return [first, ctx.run_typed("second", note, kind="step", name=f"{key}/second")]

    @work.handler()
    async def hold(ctx: Context, key: str) -> str:
        awakeable, released = ctx.awakeable(type_hint=str)
        await ctx.run_typed("tell", tell, key=key, awakeable=awakeable)
        return await released

    @work.handler()
    def hold_thread(ctx: SyncContext, key: str) -> str:
        awakeable, released = ctx.awakeable(type_hint=str)
        ctx.run_typed("tell", tell, key=key, awakeable=awakeable)
        return released.result()

    engine = durably.Engine(f"sqlite:///{folder / 'engine.db'}", services=[work], options=_OPTIONS)
    return Work(folder, engine, {"run": run, "block": block, "hold": hold, "hold_thread": hold_thread})


def work_began(work: Work) -> None:
    """Tell the test that the engine of this process runs."""
    append(work.folder / "workers", str(os.getpid()))


def read_lease(folder: Path) -> tuple[int, str]:
    """Give term and owner of the file's lease, as stored now."""
    with closing(sqlite3.connect(f"file:{folder / 'engine.db'}?mode=ro", uri=True, timeout=5)) as file:
        row = file.execute("SELECT epoch, owner FROM engine WHERE one = 1").fetchone()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def append(path: Path, line: str) -> None:
    """Append a line in one write, so that a crash leaves whole lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (line + "\n").encode())
    finally:
        os.close(descriptor)
