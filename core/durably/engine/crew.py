"""The attempts that are open or wait for their turn.

Owns how many run at once, the order in which they get their turn, and the check of their deadlines.

Rules
1. An invocation has one attempt at a time: the next is opened when the last has left its stream.
2. At most `attempts_in_flight` are open. The others wait in the order of their starts, and hold nothing but their
   names, because their journals are read when it is their turn.
3. While some wait, open ones that have been idle for a moment are asked to suspend: what they wait for may
   be what cannot start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

from durably.engine.actions import Abort, Deliver, HalfClose, StartAttempt
from durably.engine.attempts import Attempt, Phase, Surroundings
from durably.engine.clock import Alarm, Clock

__all__ = ["Crew"]

_IDLE_UNDER_PRESSURE_MS: Final = 200
_PRESSURE_CHECK_S: Final = 0.1
_HELD_S: Final = 0.01

_logger = logging.getLogger("durably.engine")


class Crew:
    """All attempts of an engine; for its event loop only."""

    def __init__(self, clock: Clock, limit: int) -> None:
        """Begin with none.

        Args:
            clock: For deadlines.
            limit: How many are open at once.
        """
        self._clock = clock
        self._limit = limit
        self._attempts: dict[str, Attempt] = {}
        self._tasks: dict[Attempt, asyncio.Task[None]] = {}
        self._waiting: deque[Attempt] = deque()
        self._asides: set[asyncio.Task[None]] = set()
        self._alarm: Alarm | None = None
        self._alarm_ms: int | None = None
        self._pressure: asyncio.TimerHandle | None = None
        self._holding: set[Attempt] = set()
        self._held_timer: asyncio.TimerHandle | None = None
        self._is_stopping = False

    def attach(self, around: Surroundings) -> None:
        """Say where attempts run; before the first one."""
        self._around = around

    @property
    def open_count(self) -> int:
        """How many are open, or leave at the moment."""
        return len(self._tasks)

    @property
    def waiting_count(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    # ---- what the state machine asks for

    def start(self, action: StartAttempt) -> None:
        """Open an attempt, now or in its turn."""
        if self._is_stopping:
            return
        last = self._attempts.get(action.invocation_id)
        attempt = Attempt(action.invocation_id, action.attempt, action.plan, self._around)
        self._attempts[action.invocation_id] = attempt
        if last is not None:
            attempt.after = self._tasks.get(last, last.after)
        if len(self._tasks) >= self._limit:
            attempt.forget_plan()
            self._waiting.append(attempt)
            self._relieve_pressure()
            return
        self._open(attempt)

    def deliver(self, action: Deliver) -> None:
        """Send messages to an attempt, if it is still there."""
        attempt = self._attempts.get(action.invocation_id)
        if attempt is not None and attempt.number == action.attempt:
            attempt.deliver(action.frames, action.indexes)

    def half_close(self, action: HalfClose) -> None:
        """End the request of an attempt."""
        attempt = self._attempts.get(action.invocation_id)
        if attempt is not None and attempt.number == action.attempt:
            self._aside(attempt.half_close())

    def abort(self, action: Abort) -> None:
        """Cut an attempt."""
        attempt = self._attempts.get(action.invocation_id)
        if attempt is not None and attempt.number == action.attempt:
            self._aside(attempt.cut())

    async def stop(self, grace_s: float) -> None:
        """Let the open ones end, asked to suspend, for at most `grace_s`; then cut them. None starts any more."""
        self._is_stopping = True
        self._waiting.clear()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._pressure is not None:
            self._pressure.cancel()
        open_ones = list(self._tasks)
        if not open_ones:
            return
        await asyncio.gather(*(attempt.half_close() for attempt in open_ones))
        tasks = list(self._tasks.values())
        pending = (await asyncio.wait(tasks, timeout=grace_s))[1] if tasks else set[asyncio.Task[None]]()
        if pending:
            _logger.info("%d attempts are cut; they run again when the engine starts.", len(pending))
            await asyncio.gather(*(attempt.cut() for attempt in open_ones))
            _, pending = await asyncio.wait(pending, timeout=1.0)
        for task in pending:
            task.cancel()
        if self._asides:
            await asyncio.wait(self._asides, timeout=1.0)

    # ---- opening and leaving

    def _open(self, attempt: Attempt) -> None:
        task = asyncio.get_running_loop().create_task(attempt.run())
        self._tasks[attempt] = task
        task.add_done_callback(lambda _: self._left(attempt))

    def _left(self, attempt: Attempt) -> None:
        del self._tasks[attempt]
        if self._attempts.get(attempt.invocation_id) is attempt:
            del self._attempts[attempt.invocation_id]
        while self._waiting and len(self._tasks) < self._limit:
            following = self._waiting.popleft()
            if following.phase is Phase.WAITING and self._attempts.get(following.invocation_id) is following:
                self._open(following)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    # ---- deadlines

    def hold(self, attempt: Attempt) -> None:
        """Let an attempt report soon what it holds back."""
        self._holding.add(attempt)
        if self._held_timer is None:
            self._held_timer = asyncio.get_running_loop().call_later(_HELD_S, self._report_held)

    def _report_held(self) -> None:
        self._held_timer = None
        holding, self._holding = self._holding, set()
        for attempt in holding:
            attempt.report_held()

    def watch(self, deadline_ms: int) -> None:
        """Check all deadlines at this time, unless they are checked before."""
        if self._alarm_ms is not None and self._alarm_ms <= deadline_ms:
            return
        if self._is_stopping:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ms = deadline_ms
        self._alarm = self._clock.set_alarm(deadline_ms, self._check_deadlines)

    def _check_deadlines(self) -> None:
        self._alarm = self._alarm_ms = None
        for attempt in list(self._tasks):
            if attempt.is_due():
                self._aside(attempt.time_out())

    def _relieve_pressure(self) -> None:
        if self._pressure is None:
            self._pressure = asyncio.get_running_loop().call_later(_PRESSURE_CHECK_S, self._suspend_idle)

    def _suspend_idle(self) -> None:
        self._pressure = None
        if not self._waiting:
            return
        latest_ms = self._clock.now_ms() - _IDLE_UNDER_PRESSURE_MS
        idle = [each for each in self._tasks if each.phase is Phase.STREAMING and each.active_ms <= latest_ms]
        idle.sort(key=lambda each: each.active_ms)
        for attempt in idle[: len(self._waiting)]:
            self._aside(attempt.half_close())
        self._relieve_pressure()
