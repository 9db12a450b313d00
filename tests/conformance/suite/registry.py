"""The list of scenarios.

Owns how a function becomes a scenario: its class and name are those of the upstream inventory.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.suite.stages import Stage

__all__ = ["SCENARIOS", "Lane", "Scenario", "scenario"]

# Generous, because a column shares two cores with other columns; a healthy scenario takes a fraction of it.
DEFAULT_SECONDS = 45.0


class Lane(enum.Enum):
    """Which pair a scenario uses, and next to what it runs."""

    TOGETHER = "together"  # on the column's pair, at the same time as the others
    ALONE = "alone"  # on a pair for scenarios that crash something, one after the other


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test case.

    Attributes:
        group: The class of the inventory.
        name: The test of the inventory, with its variant.
        play: Runs it; raises when it fails.
        seconds: How long it may take.
        lane: Which pair it uses.
        summary: What it proves.
    """

    group: str
    name: str
    play: Callable[[Stage], None]
    seconds: float
    lane: Lane
    summary: str

    def __str__(self) -> str:
        """Name the scenario as the tests' ids do."""
        return f"{self.group}.{self.name}"


SCENARIOS: list[Scenario] = []


def scenario(
    name: str,
    *,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    seconds: float = DEFAULT_SECONDS,
    lane: Lane = Lane.TOGETHER,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as one scenario, or as one for each variant.

    Args:
        name: `Class.test` of the inventory.
        variants: The keyword arguments of each variant, by its name.
        seconds: How long it may take.
        lane: Which pair it uses.
    """
    group, _, test = name.partition(".")

    def register(function: Callable[..., None]) -> Callable[..., None]:
        summary = (function.__doc__ or "").strip().splitlines()[0]
        for variant, arguments in (variants or {"": {}}).items():
            full = f"{test}[{variant}]" if variant else test
            play = functools.partial(function, **arguments)
            SCENARIOS.append(Scenario(group, full, play, seconds, lane, summary))
        return function

    return register
