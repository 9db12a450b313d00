"""When the engine looks for due timers and for what retention no longer keeps.

Owns one alarm for each of the two. All timers are in the store; here is only the time of the earliest.

Rules
1. A timer is reported at its time or later, never earlier. A clock that was set back while the alarm waited does not
   delay it: then the time it was due counts as now.
2. Sweeps are at least `_SWEEP_PAUSE_MS` apart. Each deletes a batch, so that this bounds what deleting takes from the
   work, and still lets it keep up: a thousand invocations a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from durably.engine import faults
from durably.engine.clock import Alarm, Clock
from durably.engine.events import Event, Sweep, TimerDue
from durably.engine.faults import FaultPoint

__all__ = ["Timers"]

_SWEEP_PAUSE_MS: Final = 50


class Timers:
    """The alarms of an engine; for its event loop only."""

    def __init__(self, clock: Clock, post: Callable[[Event], None]) -> None:
        """Report on `clock` to `post`."""
        self._clock = clock
        self._post = post
        self._alarm: Alarm | None = None
        self._due_ms: int | None = None
        self._sweep_alarm: Alarm | None = None
        self._sweep_due_ms: int | None = None
        self._swept_ms: int | None = None
        self._is_stopped = False

    def arm(self, due_ms: int) -> None:
        """Look for due timers at `due_ms`, or earlier if that was asked for."""
        if self._is_stopped or (self._due_ms is not None and self._due_ms <= due_ms):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._due_ms = due_ms
        self._alarm = self._clock.set_alarm(due_ms, self._ring)

    def arm_sweep(self, due_ms: int) -> None:
        """Sweep at `due_ms` or later."""
        if self._swept_ms is not None:
            due_ms = max(due_ms, self._swept_ms + _SWEEP_PAUSE_MS)
        if self._is_stopped or (self._sweep_due_ms is not None and self._sweep_due_ms <= due_ms):
            return
        if self._sweep_alarm is not None:
            self._sweep_alarm.cancel()
        self._sweep_due_ms = due_ms
        self._sweep_alarm = self._clock.set_alarm(due_ms, self._ring_sweep)

    def stop(self) -> None:
        """Report nothing more."""
        self._is_stopped = True
        for alarm in (self._alarm, self._sweep_alarm):
            if alarm is not None:
                alarm.cancel()

    def _ring(self) -> None:
        due_ms = self._due_ms
        self._alarm = self._due_ms = None
        if self._is_stopped or due_ms is None:
            return
        if faults.hook is not None:
            faults.hook(FaultPoint.TIMER_FIRE)
        self._post(TimerDue(max(self._clock.now_ms(), due_ms)))

    def _ring_sweep(self) -> None:
        self._sweep_alarm = self._sweep_due_ms = None
        if self._is_stopped:
            return
        self._swept_ms = self._clock.now_ms()
        self._post(Sweep())
