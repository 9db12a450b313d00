"""Letting time pass in a test: at once, and only when nothing else is left to do.

Owns the decision that everything waits. That is so when

1. the engine applies, stores and opens nothing,
2. each open attempt has said that it waits for the engine and for nothing else, and has read all it was sent,
3. both have been so for some turns of the event loop.

Then, if somebody waits for a call, the clock is set to the next timer of the store. While nobody waits for a call the
clock stands still, so that a test can send, look and send again without timers that overtake it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from durably.engine.clock import Clock, ManualClock
from durably.errors import UsageError

if TYPE_CHECKING:
    from durably.engine.engine import Engine
    from durably.testing.tap import Tap

__all__ = ["TimeSkipper"]

_QUIET_TURNS: Final = 8
_PATIENT_TURNS: Final = 200  # of the loop, before it is left alone for a moment
_PAUSE_S: Final = 0.0005
_MILLISECOND: Final = timedelta(milliseconds=1)


class TimeSkipper:
    """Moves the clock of one engine; for its event loop only."""

    def __init__(self, engine: Engine, clock: Clock, tap: Tap) -> None:
        """Move `clock`, unless it is the real one, when all attempts that pass `tap` wait."""
        self._engine = engine
        self._clock = clock
        self._tap = tap
        self._is_held = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; nothing happens by the real clock."""
        if isinstance(self._clock, ManualClock):
            self._task = asyncio.get_running_loop().create_task(self._run(self._clock))

    async def stop(self) -> None:
        """Leave the clock alone from now on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def advance(self, by: timedelta) -> None:
        """Let `by` pass, with every timer in it at its own time, and do what follows from them.

        Raises:
            UsageError: It is the real clock.
        """
        clock = self._clock
        if not isinstance(clock, ManualClock):
            raise UsageError("This harness goes by the real clock.", hint="Make it with skip_time=True.")
        self._is_held = True
        try:
            target_ms = clock.now_ms() + by // _MILLISECOND
            await self.settle()
            while (due_ms := await self._next_timer_ms()) is not None and due_ms <= target_ms:
                clock.move_to(max(due_ms, clock.now_ms()))
                await self.settle()
            clock.move_to(max(target_ms, clock.now_ms()))
            await self.settle()
        finally:
            self._is_held = False

    async def settle(self) -> None:
        """Wait until everything waits; no time passes on the clock."""
        quiet = turns = 0
        while quiet < _QUIET_TURNS:
            quiet = quiet + 1 if self._is_quiet() else 0
            turns += 1
            await asyncio.sleep(0 if quiet or turns < _PATIENT_TURNS else _PAUSE_S)

    async def _run(self, clock: ManualClock) -> None:
        while True:
            await self.settle()
            runtime = self._engine.runtime
            due_ms = None
            # Looked at once more: in the last turn of the loop a request may have come.
            if runtime is not None and runtime.open_requests and not self._is_held and self._is_quiet():
                due_ms = await self._next_timer_ms()
            if due_ms is None:
                await asyncio.sleep(_PAUSE_S)
            else:
                clock.move_to(max(due_ms, clock.now_ms()))

    def _is_quiet(self) -> bool:
        runtime = self._engine.runtime
        if runtime is None or not runtime.is_quiet:
            return False
        return runtime.open_attempts == self._tap.waiting_count

    async def _next_timer_ms(self) -> int | None:
        return await self._engine.read(lambda reader: reader.next_timer())
