"""A file that another process has locked, while an engine works on it: it waits, says so, and goes on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import durably
from durably import Context, Engine
from durably.errors import StoreBusyError
from tests.engine.runtime.conftest import eventually

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


class Other:
    """Another process that holds the lock until it is told otherwise."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-c", HOLDER, str(file)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        """Have it give the lock back."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def locked_by_another(file: Path) -> Iterator[Other]:
    """Lock a file in another process, which ends with the block."""
    other = Other(file)
    try:
        yield other
    finally:
        other.process.communicate("\n")


class Work:
    """A service, and what it did."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.go: asyncio.Event = asyncio.Event()
        self.service = durably.Service("Work")
        self._define()

    def _define(self) -> None:
        @self.service.handler()
        async def two_steps(ctx: Context, word: str) -> str:
            async def step(name: str) -> str:
                self.ran[name] += 1
                if name == "second":
                    await self.go.wait()
                return name + word

            first = await ctx.run_typed("first", step, name="first")
            return first + await ctx.run_typed("second", step, name="second")

        @self.service.handler()
        async def echo(ctx: Context, size: int) -> int:
            self.ran["echo"] += 1
            return size

        @self.service.handler()
        async def length(ctx: Context, body: str) -> int:
            return len(body)

        self.two_steps, self.echo, self.length = two_steps, echo, length


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The engine's file."""
    return tmp_path / "engine.db"


async def test_a_lock_for_longer_than_we_wait(file: Path):
    """For 5 s requests wait; then they get the typed error, at once from then on; what runs loses nothing.

    When the lock is free the engine goes on within a fraction of a second, also with what it was about to store.
    """
    work = Work()
    async with Engine(f"sqlite:///{file}", [work.service]) as engine:
        client = engine.client()
        running = asyncio.create_task(client.service_call(work.two_steps, "!"))
        await eventually(lambda: work.ran["second"])
        with locked_by_another(file) as other:
            work.go.set()  # its result cannot be stored now
            began = time.monotonic()
            with pytest.raises(StoreBusyError, match="Another process"):
                await client.service_call(work.echo, 1)
            assert 4.5 < time.monotonic() - began < 7
            await asyncio.sleep(0.05)
            assert isinstance(engine.blocked_by, StoreBusyError)
            began = time.monotonic()
            with pytest.raises(StoreBusyError):
                await client.service_call(work.echo, 2)
            assert time.monotonic() - began < 0.5
            assert not running.done()
            other.let_go()
            await eventually(lambda: engine.blocked_by is None, 1)
        assert await asyncio.wait_for(running, 5) == "first!second!"
        assert await client.service_call(work.echo, 3) == 3
    assert work.ran == {"first": 1, "second": 1, "echo": 1}


@pytest.mark.parametrize("size", [1, 300_000], ids=["small", "large"])
async def test_a_lock_for_a_moment_is_only_waited_for(file: Path, size: int):
    """A lock of a good moment delays requests of any size, and none fails."""
    work = Work()
    async with Engine(f"sqlite:///{file}", [work.service]) as engine:
        with locked_by_another(file) as other:
            calls = [asyncio.create_task(engine.client().service_call(work.length, "x" * size)) for _ in range(3)]
            await asyncio.sleep(0.15)
            assert not any(call.done() for call in calls)
            assert engine.blocked_by is None
            other.let_go()
            assert await asyncio.wait_for(asyncio.gather(*calls), 5) == [size] * 3


async def test_the_loop_goes_on_while_the_file_is_locked(file: Path):
    """Waiting for the lock never keeps the application's event loop for long."""
    work, gaps = Work(), list[float]()
    async with Engine(f"sqlite:///{file}", [work.service]) as engine:
        with locked_by_another(file) as other:
            call: asyncio.Task[Any] = asyncio.create_task(engine.client().service_call(work.echo, 1))
            end = time.monotonic() + 0.5
            while (now := time.monotonic()) < end:
                await asyncio.sleep(0.001)
                gaps.append(time.monotonic() - now)
            other.let_go()
            assert await asyncio.wait_for(call, 5) == 1
    assert sorted(gaps)[len(gaps) // 2] < 0.02, "half of the time nothing is in the way"
    assert len(gaps) > 15


async def test_an_engine_starts_on_a_file_that_is_locked_for_a_moment(file: Path):
    """Opening and becoming the driver wait for another process too."""
    async with Engine(f"sqlite:///{file}", [Work().service]):
        pass
    work = Work()
    with locked_by_another(file) as other:
        asyncio.get_running_loop().call_later(0.2, other.let_go)
        async with Engine(f"sqlite:///{file}", [work.service]) as engine:
            assert await engine.client().service_call(work.echo, 1) == 1
