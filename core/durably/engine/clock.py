"""The engine's clock: the time of day, and alarms on it.

Owns the one way by which the engine learns what time it is. Everything that waits (timers of handlers, retries,
timeouts, retention) asks the clock that the engine was made with; a test gives it a `ManualClock` and moves it.

Rules
1. An alarm never rings before its time by the clock that it was set on, and rings once.
2. `RealClock` waits by the monotonic clock: a jump of the wall clock neither hastens nor delays an alarm that is set.
3. Alarms ring on the event loop on which they were set.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol

__all__ = ["Alarm", "Clock", "ManualClock", "RealClock"]

_LONGEST_WAIT_S: Final = 24 * 60 * 60.0  # an event loop does not accept arbitrary delays
_SLACK_S: Final = 0.0005  # a loop calls back this much early, at most


class Alarm(Protocol):
    """An alarm that was set."""

    def cancel(self) -> None:
        """Let it not ring. Can be repeated, and called after it rang."""
        ...


class Clock(Protocol):
    """Tells the time and rings alarms."""

    def now_ms(self) -> int:
        """Tell the time, ms since the epoch; callable on any thread."""
        ...

    def set_alarm(self, due_ms: int, ring: Callable[[], None]) -> Alarm:
        """Call `ring` on the running event loop at `due_ms` or soon after, at once if that is past."""
        ...


class RealClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Tell the wall clock's time."""
        return time.time_ns() // 1_000_000

    def set_alarm(self, due_ms: int, ring: Callable[[], None]) -> Alarm:
        """Wait on the running event loop; see `Clock.set_alarm`."""
        # Half a millisecond later than due: what is rounded down must not ring early.
        return _RealAlarm(asyncio.get_running_loop(), (due_ms - time.time_ns() / 1_000_000 + 0.5) / 1000, ring)


class _RealAlarm:
    __slots__ = ("_deadline", "_handle", "_loop", "_ring")

    def __init__(self, loop: asyncio.AbstractEventLoop, delay_s: float, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._deadline = loop.time() + delay_s
        self._ring = ring
        self._handle = loop.call_at(min(self._deadline, loop.time() + _LONGEST_WAIT_S), self._elapsed)

    def _elapsed(self) -> None:
        if self._loop.time() + _SLACK_S < self._deadline:
            self._handle = self._loop.call_at(min(self._deadline, self._loop.time() + _LONGEST_WAIT_S), self._elapsed)
        else:
            self._ring()

    def cancel(self) -> None:
        self._handle.cancel()


class ManualClock:
    """A clock that stands still until it is moved, so that a week passes at once.

    It may be moved from any thread, also while an engine in another thread runs on it.
    """

    def __init__(self, start_ms: int | None = None) -> None:
        """Begin at `start_ms`, epoch; at the present unless given.

        Handlers compute times of their own by the machine's clock, such as the end of a `ctx.sleep`: on a clock that
        begins elsewhere those are far away, or over.
        """
        self._now_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._alarms: list[_ManualAlarm] = []

    def now_ms(self) -> int:
        """Tell the time that it was moved to."""
        return self._now_ms

    @property
    def next_alarm_ms(self) -> int | None:
        """When the next alarm rings, or None when none is set."""
        with self._lock:
            while self._alarms and self._alarms[0].is_cancelled:
                heapq.heappop(self._alarms)
            return self._alarms[0].due_ms if self._alarms else None

    def set_alarm(self, due_ms: int, ring: Callable[[], None]) -> Alarm:
        """Ring when the clock is moved that far; see `Clock.set_alarm`."""
        alarm = _ManualAlarm(due_ms, next(self._order), asyncio.get_running_loop(), ring)
        with self._lock:
            if due_ms > self._now_ms:
                heapq.heappush(self._alarms, alarm)
                return alarm
        alarm.ring_soon()
        return alarm

    def advance(self, by: timedelta) -> None:
        """Move it forward. Alarms that are due by then ring soon after, each on its own loop, in their order."""
        self.move_to(self._now_ms + by // timedelta(milliseconds=1))

    def move_to(self, now_ms: int) -> None:
        """Set the time; back is possible, and rings nothing."""
        due: list[_ManualAlarm] = []
        with self._lock:
            self._now_ms = now_ms
            while self._alarms and self._alarms[0].due_ms <= now_ms:
                due.append(heapq.heappop(self._alarms))
        for alarm in due:
            alarm.ring_soon()


class _ManualAlarm:
    __slots__ = ("_loop", "_order", "_ring", "due_ms", "is_cancelled")

    def __init__(self, due_ms: int, order: int, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.due_ms = due_ms
        self._order = order
        self._loop = loop
        self._ring = ring
        self.is_cancelled = False

    def __lt__(self, other: _ManualAlarm) -> bool:
        return (self.due_ms, self._order) < (other.due_ms, other._order)

    def cancel(self) -> None:
        self.is_cancelled = True

    def ring_soon(self) -> None:
        if not self.is_cancelled and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring_unless_cancelled)

    def _ring_unless_cancelled(self) -> None:
        if not self.is_cancelled:
            self._ring()
