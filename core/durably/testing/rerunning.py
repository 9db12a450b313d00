"""One run of a scenario that is run several times, and what its harnesses tell of it.

Owns the context variable by which a harness learns that it is part of one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from durably.testing.effects import Effect
from durably.testing.entries import CrashPoint
from durably.testing.snapshots import Snapshot

__all__ = ["Run", "current_run"]

current_run: ContextVar[Run | None] = ContextVar("durably_test_run", default=None)
"""The run that a harness started now belongs to, or None."""


@dataclass(slots=True)
class Run:
    """One execution of a scenario.

    Attributes:
        how: What is done to it, for people; "" for the undisturbed one.
        crash: Where the connection is lost, or None.
        harness: Which of the scenario's harnesses the crash is for, from 0.
        always_replay: Whether every wait is followed by a replay.
        shuffle: Seed of the order of completions, or None.
        on_crash: Called after the crash.
        snapshots: What each harness came to, in the order in which they ended.
        effects: What each harness recorded, likewise.
        value: What the scenario returned.
        error: What it raised, or None.
    """

    how: str = ""
    crash: CrashPoint | None = None
    harness: int = 0
    always_replay: bool = False
    shuffle: int | None = None
    on_crash: Callable[[], None] | None = None
    snapshots: list[Snapshot] = field(default_factory=list[Snapshot])
    effects: list[list[Effect]] = field(default_factory=list[list[Effect]])
    value: object = None
    error: Exception | None = None
    _started: int = 0

    def next_crash(self) -> CrashPoint | None:
        """Give the crash for the harness that starts now."""
        self._started += 1
        return self.crash if self._started - 1 == self.harness else None

    @contextmanager
    def active(self) -> Generator[None]:
        """Let harnesses that start within belong to this run; keep what the scenario raises."""
        token = current_run.set(self)
        try:
            yield
        except Exception as error:  # judged by whoever compares the runs
            self.error = error
        finally:
            current_run.reset(token)
