"""Group commit, and what happens when the store refuses."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from durably.engine import actions, events
from durably.engine.batches import Batches
from durably.engine.store.contract import Store, Transaction
from durably.engine.store.memory import MemoryStore
from durably.engine.writer import Upkeep
from durably.errors import StoreBusyError, StoreError, StoreFailedError, StoreFullError
from tests.engine.runtime.conftest import eventually


class Disk(MemoryStore):
    """A store in memory whose commits fail when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: StoreError | None = None
        self.lock: StoreBusyError | None = None
        self.commits = 0
        self.committed_on: list[str] = []
        self.commit_s = 0.0

    def begin(self) -> Transaction:
        """Fail while it is locked, or begin."""
        if self.lock is not None:
            raise self.lock
        return super().begin()

    def commit(self) -> None:
        """Fail, or commit."""
        if self.failure is not None:
            raise self.failure
        time.sleep(self.commit_s)
        self.commits += 1
        self.committed_on.append(threading.current_thread().name)
        super().commit()


class Writing:
    """Batches on a disk, and what came of their events."""

    def __init__(self, *, waits_for_disk: bool = False, upkeep: Upkeep | None = None) -> None:
        self.disk = Disk()
        self.done: list[Any] = []
        self.refused: list[tuple[events.Event, Exception]] = []
        self.failures: list[StoreError] = []
        store: Store = self.disk
        self.batches = Batches(
            store,
            _echo,
            perform=self.done.extend,
            refuse=lambda event, error: self.refused.append((event, error)),
            fail=self.failures.append,
            waits_for_disk=waits_for_disk,
            upkeep=upkeep,
            is_alone=lambda event: isinstance(event, events.AttemptFrames),
        )
        self.batches.start()


class Keeping:
    """A store that needs upkeep when the test says so."""

    def __init__(self) -> None:
        self.is_wal_long: bool = False
        self.due: list[bool] = []
        self.failure: StoreError | None = None
        self.asked: list[bool] = []
        self.done: list[tuple[bool, str]] = []

    def is_due(self, *, is_idle: bool) -> bool:
        """Give what the test prepared, then no."""
        self.asked.append(is_idle)
        return bool(self.due) and self.due.pop(0)

    def maintain(self, *, is_idle: bool) -> None:
        """Note where it ran, or fail."""
        self.done.append((is_idle, threading.current_thread().name))
        if self.failure is not None:
            raise self.failure


def _echo(transaction: Transaction, event: events.Event) -> Sequence[actions.Action]:
    if isinstance(event, events.Kill):
        raise ZeroDivisionError
    return [actions.ArmTimer(getattr(event, "now_ms", 0))]


async def test_what_arrives_together_is_stored_together():
    """Events of one turn of the loop are one commit, and their actions come after it, in order."""
    writing = Writing()
    for number in range(5):
        writing.batches.post(events.TimerDue(number))
    assert writing.done == []
    await eventually(lambda: writing.done)
    assert writing.done == [actions.ArmTimer(number) for number in range(5)]
    assert writing.disk.commits == 1


async def test_an_event_that_is_alone_does_not_wait_for_company():
    """It is applied where it was posted; its actions still come after its commit, and the next ones are grouped."""
    writing = Writing()
    writing.batches.post(events.AttemptFrames("inv_1", 1, ()))
    assert (writing.disk.commits, writing.done) == (1, [])
    for number in range(5):
        writing.batches.post(events.TimerDue(number))
    await eventually(lambda: len(writing.done) == 6)
    assert writing.disk.commits == 2


async def test_a_defect_is_taken_out_of_its_batch():
    """The event that cannot be applied is refused, the others are stored."""
    writing = Writing()
    for event in (events.TimerDue(1), events.Kill("x", 1), events.TimerDue(2)):
        writing.batches.post(event)
    await eventually(lambda: len(writing.done) == 2 and writing.refused)
    [(event, error)] = writing.refused
    assert isinstance(event, events.Kill)
    assert isinstance(error, ZeroDivisionError)


async def test_a_full_disk_refuses_requests_and_keeps_the_rest():
    """Requests get the error at once; what nobody may lose is stored as soon as there is room."""
    writing = Writing()
    writing.disk.failure = StoreFullError("full")
    writing.batches.post(events.Cancel("x", 1))
    writing.batches.post(events.TimerDue(1))
    await eventually(lambda: writing.refused)
    assert isinstance(writing.batches.blocked_by, StoreFullError)
    writing.batches.post(events.Cancel("y", 2))
    assert [error for _, error in writing.refused] == [writing.disk.failure] * 2
    assert writing.done == []
    writing.disk.failure = None
    await eventually(lambda: writing.done)
    assert writing.done == [actions.ArmTimer(1)]
    assert writing.batches.blocked_by is None
    await writing.batches.close()


async def test_a_failed_disk_stops_everything():
    """After an unknown outcome nothing is acknowledged any more, and everybody is told why."""
    writing = Writing()
    writing.disk.failure = StoreFailedError("on fire")
    writing.batches.post(events.TimerDue(1))
    await eventually(lambda: writing.failures)
    writing.batches.post(events.Cancel("x", 1))
    assert writing.failures == [writing.disk.failure]
    assert [error for _, error in writing.refused] == [writing.disk.failure] * 2
    assert writing.done == []
    await writing.batches.close()


async def test_a_long_backlog_makes_producers_wait():
    """There is room again when most of it is stored."""
    writing = Writing()
    for number in range(300):
        writing.batches.post(events.TimerDue(number))
    room = writing.batches.room()
    assert room is not None
    await asyncio.wait_for(room, 5)
    assert writing.batches.room() is None
    await writing.batches.close()
    assert len(writing.done) == 300


# ---- the thread


async def test_the_loop_runs_while_the_disk_is_waited_for():
    """Commits are on the writer's thread; what arrives meanwhile is the next batch, whole."""
    writing = Writing(waits_for_disk=True)
    writing.disk.commit_s = 0.05
    writing.batches.post(events.TimerDue(0))
    await asyncio.sleep(0)
    for number in range(1, 10):
        writing.batches.post(events.TimerDue(number))
        await asyncio.sleep(0)
    assert writing.done == []
    await eventually(lambda: len(writing.done) == 10)
    assert writing.disk.committed_on == ["durably-writer"] * 2
    await writing.batches.close()


async def test_closing_stores_what_was_posted():
    """What was taken before the close is stored, what comes after is refused, and the thread is gone."""
    before = set(threading.enumerate())
    writing = Writing(waits_for_disk=True)
    for number in range(200):
        writing.batches.post(events.TimerDue(number))
    await writing.batches.close()
    writing.batches.post(events.Cancel("x", 1))
    assert len(writing.done) == 200
    assert [event for event, _ in writing.refused] == [events.Cancel("x", 1)]
    assert [thread for thread in set(threading.enumerate()) - before if thread.name == "durably-writer"] == []


async def test_a_large_batch_is_applied_on_the_thread(monkeypatch: pytest.MonkeyPatch):
    """Large payloads do not keep the loop; a lock in their way is waited for, as it is for small ones."""
    applied: list[str] = []

    def apply(transaction: Transaction, event: events.Event) -> Sequence[actions.Action]:
        applied.append(threading.current_thread().name)
        return _echo(transaction, event)

    writing = Writing(waits_for_disk=True)
    monkeypatch.setattr(writing.batches, "_apply", apply)
    writing.disk.lock = StoreBusyError("locked")
    frame = (0x0411, 0, bytes(200_000))
    writing.batches.post(events.AttemptFrames("x", 1, (frame,)))
    writing.batches.post(events.Cancel("x", 1))
    await asyncio.sleep(0.05)
    assert (applied, writing.refused, writing.batches.blocked_by) == ([], [], None)
    writing.disk.lock = None
    await eventually(lambda: len(writing.done) == 2)
    assert applied == ["durably-writer"] * 2
    await writing.batches.close()


# ---- locks


async def test_a_lock_that_stays_refuses_requests(monkeypatch: pytest.MonkeyPatch):
    """Past the limit requests are refused; with nothing to store, the lock is tried all the same, and its end seen."""
    monkeypatch.setattr("durably.engine.batches._BUSY_LIMIT_S", 0.1)
    writing = Writing()
    writing.disk.lock = StoreBusyError("locked")
    writing.batches.post(events.Cancel("x", 1))
    await eventually(lambda: writing.refused)
    await asyncio.sleep(0.2)
    assert writing.batches.blocked_by is writing.disk.lock
    writing.disk.lock = None
    await eventually(lambda: writing.batches.blocked_by is None, 0.5)
    assert writing.failures == []
    await writing.batches.close()


async def test_closing_does_not_wait_for_a_lock_for_ever(monkeypatch: pytest.MonkeyPatch):
    """A close gives up with the limit; what could not be stored comes again after a start, by its journal."""
    monkeypatch.setattr("durably.engine.batches._BUSY_LIMIT_S", 0.1)
    writing = Writing()
    writing.disk.lock = StoreBusyError("locked")
    writing.batches.post(events.TimerDue(1))
    await asyncio.wait_for(writing.batches.close(), 2)
    assert writing.done == []


# ---- upkeep


async def test_upkeep_is_done_between_commits():
    """It is asked after every commit and done on the writer's thread, with the truth about waiting work."""
    keeping = Keeping()
    writing = Writing(waits_for_disk=True, upkeep=keeping)
    keeping.due = [True]
    for number in range(100):  # two batches
        writing.batches.post(events.TimerDue(number))
    await eventually(lambda: len(writing.done) == 100 and len(keeping.asked) == 2)
    assert keeping.asked == [False, True]
    assert keeping.done == [(False, "durably-writer")]
    await writing.batches.close()


async def test_what_was_left_over_is_done_without_new_work(monkeypatch: pytest.MonkeyPatch):
    """A long log that could not be cut is looked at again and again, though nothing is stored any more."""
    monkeypatch.setattr("durably.engine.batches._UPKEEP_S", 0.01)
    keeping = Keeping()
    writing = Writing(waits_for_disk=True, upkeep=keeping)
    keeping.due, keeping.is_wal_long = [False, False, True, False, True], True
    writing.batches.post(events.TimerDue(1))
    await eventually(lambda: len(keeping.done) == 2)
    keeping.is_wal_long = False
    await asyncio.sleep(0.05)
    asked = len(keeping.asked)
    await asyncio.sleep(0.05)
    assert len(keeping.asked) == asked
    assert set(keeping.done) == {(True, "durably-writer")}
    await writing.batches.close()


async def test_a_disk_that_fails_in_upkeep_stops_everything():
    """A failed checkpoint is a failed disk: nothing is acknowledged after it."""
    keeping = Keeping()
    writing = Writing(waits_for_disk=True, upkeep=keeping)
    keeping.due, keeping.failure = [True], StoreFailedError("on fire")
    writing.batches.post(events.TimerDue(1))
    await eventually(lambda: writing.failures)
    writing.batches.post(events.Cancel("x", 1))
    assert writing.failures == [keeping.failure]
    assert [error for _, error in writing.refused] == [keeping.failure]
    await writing.batches.close()
