"""Runs scenarios of several columns at the same time and keeps each outcome for the test that asks for it.

Owns the threads. Most of a scenario's time is waiting, so a column runs its scenarios together, and a few columns run
side by side; each test of pytest then only reports the outcome of its scenario.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.conformance.suite.columns import Column
from tests.conformance.suite.registry import Lane, Scenario
from tests.conformance.suite.stages import Pair, Stage

__all__ = ["Campaign", "ColumnReport", "Outcome"]

COLUMNS_AT_ONCE: Final = int(os.environ.get("DURABLY_CONFORMANCE_COLUMNS", "4"))
SCENARIOS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ended.

    Attributes:
        seconds: How long it took.
        error: Why it failed, or None.
    """

    seconds: float
    error: BaseException | None


@dataclass(slots=True)
class ColumnReport:
    """The figures of a column."""

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])


class Campaign:
    """Plays the selected scenarios of each column in background threads.

    Args:
        selected: What to play; columns are begun in this order.
        directory: Where logs go.
    """

    def __init__(self, selected: Mapping[Column, Sequence[Scenario]], directory: Path) -> None:
        """Begin at once."""
        self.reports: dict[Column, ColumnReport] = {column: ColumnReport() for column in selected}
        self._directory = directory
        self._cancelled = threading.Event()
        self._outcomes: dict[tuple[Column, str], Future[Outcome]] = {
            (column, str(scenario)): Future() for column, scenarios in selected.items() for scenario in scenarios
        }
        self._pool = ThreadPoolExecutor(COLUMNS_AT_ONCE, thread_name_prefix="column")
        self._running = [
            self._pool.submit(self._play_column, column, list(scenarios)) for column, scenarios in selected.items()
        ]

    def outcome(self, column: Column, scenario: Scenario) -> Outcome:
        """Wait for a scenario's end."""
        return self._outcomes[column, str(scenario)].result()

    def close(self) -> None:
        """Begin nothing new, and wait until every process is stopped."""
        self._cancelled.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _play_column(self, column: Column, scenarios: Sequence[Scenario]) -> None:
        begun = time.monotonic()
        lanes = {lane: [each for each in scenarios if each.lane is lane] for lane in Lane}
        with ThreadPoolExecutor(SCENARIOS_AT_ONCE + 2, thread_name_prefix=str(column)) as pool:
            wait([pool.submit(self._play_lane, column, lane, chosen, pool) for lane, chosen in lanes.items() if chosen])
        self.reports[column].seconds = time.monotonic() - begun

    def _play_lane(self, column: Column, lane: Lane, scenarios: Sequence[Scenario], pool: ThreadPoolExecutor) -> None:
        pair: Pair | None = None
        try:
            pair = Pair(column, self._directory / str(column) / lane.value)
            pair.start()
            match lane:
                case Lane.TOGETHER:
                    longest_first = sorted(scenarios, key=lambda each: each.seconds, reverse=True)
                    wait([pool.submit(self._play, column, pair, each) for each in longest_first])
                case Lane.ALONE:
                    for each in scenarios:
                        pair.heal()
                        self._play(column, pair, each)
        except BaseException as error:
            for each in scenarios:
                self._settle(column, each, Outcome(0.0, AssertionError(f"The {lane.value} lane broke: {error}")))
        finally:
            if pair is not None:
                pair.stop()

    def _play(self, column: Column, pair: Pair, scenario: Scenario) -> None:
        begun = time.monotonic()
        if self._cancelled.is_set():
            self._settle(column, scenario, Outcome(0.0, AssertionError("The session ended before this scenario began")))
            return
        error: BaseException | None = None
        stage = Stage(pair, scenario.seconds)
        try:
            scenario.play(stage)
        except BaseException as raised:
            raised.add_note(_circumstances(stage))
            error = raised
        finally:
            stage.close()
        self._settle(column, scenario, Outcome(time.monotonic() - begun, error))

    def _settle(self, column: Column, scenario: Scenario, outcome: Outcome) -> None:
        future = self._outcomes[column, str(scenario)]
        if future.done():
            return
        report = self.reports[column]
        report.passed += outcome.error is None
        report.failed += outcome.error is not None
        report.slowest = sorted([*report.slowest, (outcome.seconds, str(scenario))], reverse=True)[:3]
        future.set_result(outcome)


def _circumstances(stage: Stage) -> str:
    try:
        invocations = stage.open_invocations()
    except Exception as error:
        invocations = f"not known: {error}"
    return f"--- invocations that are not completed\n{invocations}\n{stage.pair.logs()}"
