"""Guards of waits: asked before each of a `def` handler, told before any handler has nothing left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from durably.authoring.contexts import Context
from durably.authoring.sync_contexts import SyncContext
from durably.authoring.wait_guards import wait_guard
from durably.errors import UsageError
from tests.authoring.playing import ASYNC, SYNC, Play

asynchronous = pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
synchronous = pytest.mark.parametrize("play", SYNC, indirect=True, ids=str)


class _Guard:
    def __init__(self, refusing: bool) -> None:
        self.log: list[str] = []
        self._refusing = refusing

    def check(self) -> None:
        self.log.append("check")
        if self._refusing:
            raise UsageError("not here")

    def release(self) -> None:
        assert self.log[-1] == "check"
        self.log.append("release")


@contextmanager
def _guarded(guard: _Guard) -> Iterator[None]:
    token = wait_guard.set(guard)
    try:
        yield
    finally:
        wait_guard.reset(token)


@synchronous
def test_a_guard_is_asked_before_each_wait(play: Play) -> None:
    """What it must not hold is given back right after, where the thread blocks and does not suspend."""
    guard = _Guard(refusing=False)

    def handle(ctx: SyncContext) -> str:
        with _guarded(guard):
            ctx.run("step", lambda: 1)
            ctx.sleep(timedelta(seconds=1))
        return "done"

    assert play(None, handle, cuts=False).result == "done"
    assert guard.log.count("check") >= 2
    assert "release" in guard.log or play.setting.carrier != "streaming"


@synchronous
def test_a_guard_can_refuse(play: Play) -> None:
    """What it raises comes out of the operation, and the handler can go on."""
    refused: list[Any] = []

    def handle(ctx: SyncContext) -> str:
        timer = ctx.start.sleep(timedelta(seconds=1))
        with _guarded(_Guard(refusing=True)):
            try:
                timer.result()
            except UsageError as error:
                refused.append(error.message)
        timer.result()
        return "done"

    assert play(None, handle, cuts=False).result == "done"
    assert set(refused) <= {"not here"}


class _Told:
    def __init__(self) -> None:
        self.times = 0

    def check(self) -> None:
        raise UsageError("only def handlers are asked")

    def release(self) -> None:
        self.times += 1


@asynchronous
@pytest.mark.parametrize("tasks", [1, 2])
def test_a_guard_is_told_before_an_async_handler_waits(play: Play, tasks: int) -> None:
    """With one task and with several it hears of each wait that does not suspend, and is never asked."""
    told = _Told()

    async def handle(ctx: Context) -> str:
        token = wait_guard.set(told)
        try:
            waits = [ctx.sleep(timedelta(seconds=1)) for _ in range(tasks)]
            await asyncio.gather(*waits) if tasks > 1 else await waits[0]
        finally:
            wait_guard.reset(token)
        return "done"

    assert play(handle, None, cuts=False).result == "done"
    assert told.times >= 1 or play.setting.carrier != "streaming"
