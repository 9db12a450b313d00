"""Applies events to the store in batches, one transaction a batch, and hands out the actions after the commit.

Owns the order of everything that is stored, the group commit, and what happens when the store refuses. The
transaction of a batch is open while the event loop applies its events, and is committed on a thread, where the wait
for the disk belongs. What arrives meanwhile is the next batch. So the loop never waits for the disk, and the commit is
the only thing that changes threads: with one interpreter lock for all threads, a thread that executes statement by
statement would wait for the loop at every one of them.

| state | in it | leaves it when |
|---|---|---|
| IDLE | nothing to do | an event is posted |
| APPLYING | the loop, or for large events the thread, applies a batch | all of it is applied |
| COMMITTING | the thread waits for the disk | the commit returned |
| PAUSING | another process has the file locked; the batch waits | 30 ms passed |
| WAITING | the store is full, or has been locked for 5 s; the batch waits | it takes writes again |
| STOPPED | nothing is taken any more | – |

| the store raises | what becomes of the batch |
|---|---|
| `StoreBusyError`, for up to 5 s | it is tried again |
| `StoreFullError`, `StoreBusyError` | who waits for an answer gets the error; the rest is tried again |
| any other `StoreError` | who waits gets the error, the rest is lost, the engine stops |

An event whose application fails for another reason is a defect: the others of its batch are applied without it.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Sequence
from typing import Final

from durably.engine import faults
from durably.engine.actions import Action
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted, Event, Invoke, Recover, Sweep, TimerDue
from durably.engine.faults import FaultPoint
from durably.engine.store.contract import Store, Transaction
from durably.engine.writer import Upkeep, Writer
from durably.errors import (
    EngineStoppedError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFailedError,
    StoreFencedError,
    StoreForkedError,
    StoreFullError,
)

__all__ = ["Apply", "Batches"]

Apply = Callable[[Transaction, Event], Sequence[Action]]
"""The state machine, with clock and randomness bound."""

_BATCH_EVENTS: Final = 64  # a batch holds the loop for a few ms at most
_LARGE_BYTES: Final = 128 * 1024  # from here on a batch is applied on the thread
_RETRY_S: Final = 1.0
_BUSY_PAUSE_S: Final = 0.03
_LOCKED_RETRY_S: Final = 0.06
_BUSY_LIMIT_S: Final = 5.0
_BACKLOG_EVENTS: Final = 256  # from here on those who produce events wait
_UPKEEP_S: Final = 1.0  # between two looks at what was left over, while nothing is stored

_logger = logging.getLogger("durably.engine")

# Those that concern more than what was just tried; a plain StoreError is about that.
_STORE_FAILS: Final = (
    StoreBusyError,
    StoreCorruptError,
    StoreFailedError,
    StoreFencedError,
    StoreForkedError,
    StoreFullError,
)


class _State(enum.Enum):
    IDLE = enum.auto()
    APPLYING = enum.auto()
    COMMITTING = enum.auto()
    PAUSING = enum.auto()
    WAITING = enum.auto()
    STOPPED = enum.auto()


class Batches:
    """The one writer of a store. All methods are for the event loop that `start` ran on."""

    def __init__(
        self,
        store: Store,
        apply: Apply,
        *,
        perform: Callable[[Sequence[Action]], None],
        refuse: Callable[[Event, Exception], None],
        fail: Callable[[StoreError], None],
        upkeep: Upkeep | None = None,
        waits_for_disk: bool = True,
        is_alone: Callable[[Event], bool] = lambda _: False,
    ) -> None:
        """Write to `store`.

        Args:
            store: Nobody else begins transactions on it.
            apply: The state machine.
            perform: Does the actions of a committed batch; must not raise.
            refuse: Told of each event that is not stored and will not be, with the reason.
            fail: Told once that nothing will ever be stored again.
            upkeep: What the store needs from time to time.
            waits_for_disk: Whether commits take time, and so a thread.
            is_alone: Whether no other event can be expected in this turn of the loop, which is else waited for.
        """
        self._store = store
        self._apply = apply
        self._perform = perform
        self._refuse = refuse
        self._fail = fail
        self._upkeep = upkeep
        self._is_alone = is_alone
        self._queue: list[Event] = []
        self._busy_since: float | None = None
        self._state = _State.IDLE
        self._refused_with: StoreError | None = None
        self._drained: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._writer: Writer | None = Writer() if waits_for_disk else None
        self._retry: asyncio.TimerHandle | None = None
        self._left_over: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to take events."""
        self._loop = asyncio.get_running_loop()
        if self._writer is not None:
            self._writer.start()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being applied or stored, and nothing waits for it."""
        return self._state is _State.IDLE

    def room(self) -> asyncio.Future[None] | None:
        """Give what a producer of many events waits for before the next; None when nothing is in the way."""
        if len(self._queue) < _BACKLOG_EVENTS or self._state is _State.STOPPED:
            return None
        if self._room is None:
            self._room = self._loop.create_future()
        return self._room

    @property
    def blocked_by(self) -> StoreError | None:
        """Why nothing can be stored for the time being, or None."""
        return self._refused_with

    def post(self, event: Event) -> None:
        """Take an event; its actions are performed after it is stored."""
        if self._state is _State.STOPPED:
            self._refuse(event, self._refused_with or _stopped())
            return
        if self._refused_with is not None and not _is_internal(event):
            self._refuse(event, self._refused_with)
            return
        self._queue.append(event)
        if self._state is _State.IDLE:
            self._state = _State.APPLYING
            if self._is_alone(event):
                self._next_batch()
            else:
                self._loop.call_soon(self._next_batch)

    async def close(self) -> None:
        """Store all that was posted, as far as the store lets us, then stop."""
        while self._state in (_State.APPLYING, _State.COMMITTING, _State.PAUSING):
            self._drained = self._loop.create_future()
            await self._drained
        self._stop()
        if self._writer is not None:
            await self._writer.join()

    def _stop(self) -> None:
        self._state = _State.STOPPED
        for timer in (self._retry, self._left_over):
            if timer is not None:
                timer.cancel()
        if self._writer is not None:
            self._writer.stop()
        left, self._queue = self._queue, []
        for event in left:
            self._refuse(event, self._refused_with or _stopped())
        self._wake_drained()
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    # ---- one batch

    def _next_batch(self) -> None:
        if self._state is _State.STOPPED:
            return
        waiting = self._queue
        if not waiting:
            self._state = _State.IDLE
            self._wake_drained()
            return
        if len(waiting) <= _BATCH_EVENTS:
            events = waiting
            self._queue = []
        else:
            events = waiting[:_BATCH_EVENTS]
            del waiting[:_BATCH_EVENTS]
        if self._room is not None and len(self._queue) < _BACKLOG_EVENTS:
            self._make_room()
        self._state = _State.APPLYING
        writer = self._writer
        if writer is not None and _size(events) > _LARGE_BYTES:
            writer.put(lambda: self._apply_and_commit(events))
            return
        try:
            actions = self._applied(events)
        except StoreBusyError as error:
            self._wait_for_lock(events, error)
            return
        except Exception as error:  # whatever the store raised: the batch is not stored
            self._failed(events, error)
            return
        self._state = _State.COMMITTING
        if writer is not None:
            writer.put(lambda: self._commit(events, actions))
            return
        try:
            self._store_batch()
        except Exception as error:  # as above
            self._failed(events, error)
            return
        self._loop.call_soon(self._committed, actions)

    def _applied(self, events: list[Event]) -> list[Action]:
        """Apply a batch in a new transaction, which is left open."""
        if faults.hook is not None:
            faults.hook(FaultPoint.BEGIN)
        apply = self._apply
        actions: list[Action] = []
        transaction = self._store.begin()
        try:
            for event in events:
                actions += apply(transaction, event)
        except _STORE_FAILS:
            self._store.rollback()
            raise
        except Exception:  # a defect, in one of them
            self._store.rollback()
            return self._applied_singly(events)
        except BaseException:
            self._store.rollback()
            raise
        return actions

    def _applied_singly(self, events: list[Event]) -> list[Action]:
        """Apply a batch without the events that cannot be applied."""
        actions: list[Action] = []
        transaction = self._store.begin()
        try:
            for event in list(events):
                self._store.mark()
                try:
                    actions += self._apply(transaction, event)
                except _STORE_FAILS:
                    raise
                except Exception as error:
                    self._store.rollback_to_mark()
                    events.remove(event)
                    _logger.exception("A %s could not be applied; this is a defect.", type(event).__name__)
                    self._loop.call_soon_threadsafe(self._refuse, event, error)
        except BaseException:
            self._store.rollback()
            raise
        return actions

    def _store_batch(self) -> None:
        if faults.hook is not None:
            faults.hook(FaultPoint.COMMIT)
        self._store.commit()

    def _apply_and_commit(self, events: list[Event]) -> None:
        try:
            actions = self._applied(events)
        except StoreBusyError as error:
            self._call(self._wait_for_lock, events, error)
            return
        except Exception as error:  # told on the loop
            self._call(self._failed, events, error)
            return
        self._commit(events, actions)

    def _commit(self, events: list[Event], actions: list[Action]) -> None:
        try:
            self._store_batch()
        except Exception as error:  # told on the loop
            self._call(self._failed, events, error)
            return
        self._call(self._committed, actions)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop was closed under us; what is stored is stored
            _logger.debug("The event loop ended before the engine.")

    def _committed(self, actions: list[Action]) -> None:
        if faults.hook is not None:
            faults.hook(FaultPoint.ACKNOWLEDGE)
        if self._refused_with is not None:
            self._open_again()
        self._busy_since = None
        self._perform(actions)
        if faults.hook is not None:
            faults.hook(FaultPoint.ACKNOWLEDGED)
        if self._upkeep is not None and self._is_keeping_up(self._upkeep):
            return
        self._next_batch()

    def _is_keeping_up(self, upkeep: Upkeep) -> bool:
        """Begin with what the store needs now, if anything; ask again later when something was left over."""
        writer, is_idle = self._writer, not self._queue
        if writer is None:
            return False
        if upkeep.is_due(is_idle=is_idle):
            writer.put(lambda: self._keep_up(upkeep, is_idle))
            return True
        if is_idle and self._left_over is None and upkeep.is_wal_long:
            self._left_over = self._loop.call_later(_UPKEEP_S, self._look_after, upkeep)
        return False

    def _look_after(self, upkeep: Upkeep) -> None:
        self._left_over = None
        if self._state is _State.IDLE and self._is_keeping_up(upkeep):
            self._state = _State.COMMITTING

    def _keep_up(self, upkeep: Upkeep, is_idle: bool) -> None:
        try:
            upkeep.maintain(is_idle=is_idle)
        except Exception as error:  # told on the loop
            self._call(self._failed, [], error)
            return
        self._call(self._kept_up, upkeep)

    def _kept_up(self, upkeep: Upkeep) -> None:
        if self._left_over is None and upkeep.is_wal_long and self._state is not _State.STOPPED:
            self._left_over = self._loop.call_later(_UPKEEP_S, self._look_after, upkeep)
        self._next_batch()

    # ---- failures

    def _failed(self, events: list[Event], error: Exception) -> None:
        try:
            self._store.rollback()
        except StoreError as second:
            _logger.debug("Rolling back failed too: %s", second)
        if isinstance(error, StoreFullError | StoreBusyError):
            self._wait(events, error)
            return
        if not isinstance(error, StoreError):
            _logger.exception("Storing a batch failed.", exc_info=error)
            failure = StoreError(f"Storing failed: {type(error).__name__}.")
            failure.__cause__ = error
            error = failure
        self._refused_with = error
        for event in events:
            self._refuse(event, error)
        self._stop()
        self._fail(error)

    def _wait_for_lock(self, events: list[Event], error: StoreBusyError) -> None:
        """Try again soon: another process writes to the file, a backup for example."""
        if self._state is _State.STOPPED:
            self._failed(events, error)
            return
        now = self._loop.time()
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since > _BUSY_LIMIT_S:
            self._failed(events, error)
            return
        self._queue[:0] = events
        self._state = _State.PAUSING
        self._retry = self._loop.call_later(_BUSY_PAUSE_S, self._next_batch)

    def _wait(self, events: list[Event], error: StoreError) -> None:
        if self._refused_with is None:
            _logger.error("Nothing can be stored for now: %s", error)
        self._refused_with = error
        events += self._queue
        self._queue = [event for event in events if _is_internal(event)]
        for event in events:
            if not _is_internal(event):
                self._refuse(event, error)
        self._state = _State.WAITING
        self._wake_drained()
        pause_s = _LOCKED_RETRY_S if isinstance(error, StoreBusyError) else _RETRY_S
        self._retry = self._loop.call_later(pause_s, self._probe)

    def _probe(self) -> None:
        """Try again, even with nothing to store: success opens the engine for requests."""
        if self._state is not _State.WAITING:
            return
        if self._queue:
            self._next_batch()
            return
        try:
            self._store.begin()
            self._store.rollback()
        except StoreError as error:
            self._failed([], error)
            return
        self._open_again()
        self._busy_since = None
        self._state = _State.IDLE

    def _open_again(self) -> None:
        _logger.warning("The store takes writes again.")
        self._refused_with = None

    def _wake_drained(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


def _stopped() -> EngineStoppedError:
    return EngineStoppedError("The engine stops.", hint="What it had stored goes on when it starts again.")


def _is_internal(event: Event) -> bool:
    """Whether nobody outside waits for it, so that it must not get lost."""
    return isinstance(event, AttemptFrames | AttemptEnded | AttemptStarted | TimerDue | Sweep | Recover)


def _size(events: list[Event]) -> int:
    size = 0
    for event in events:
        if type(event) is AttemptFrames:
            for frame in event.frames:
                size += len(frame[2])
        elif type(event) is Invoke:
            size += len(event.body)
    return size
