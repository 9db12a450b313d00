"""The pytest plugin: options, the marker, and fixtures. `durably.testing.fixtures` does the work.

It stands beside the package because pytest loads it into every session: nothing of the package is imported before a
test asks for it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from durably.testing.effects import Effects
    from durably.testing.fixtures import HarnessFactory

_MARKER = (
    "durably(always_replay, disable_retries, skip_time, shuffle, server, crash_everywhere, shuffles, processes,"
    " most_crashes): how the harnesses of this test run their handlers"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("durably", "durable handlers")
    group.addoption("--durably-server", action="store_true", help="run harnesses on a real restate-server")
    group.addoption("--durably-always-replay", action="store_true", help="suspend handlers at every wait")
    group.addoption(
        "--durably-shuffle", metavar="SEED", help="change the order of completions; 'random' chooses a seed"
    )
    group.addoption(
        "--durably-crash-everywhere",
        action="store_true",
        help="run each test that uses durably_harness again for every journal entry, with a crash there",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker, and choose the seed."""
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("--durably-shuffle") == "random":
        config.option.durably_shuffle = str(random.randrange(1_000_000))  # noqa: S311 - an order, no secret


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print the seed, so that the order can be repeated."""
    seed = config.getoption("--durably-shuffle")
    return None if seed is None else f"durably: completions are shuffled with --durably-shuffle={seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests that ask for it run everywhere."""
    for item in items:
        marker = item.get_closest_marker("durably")
        asked = config.getoption("--durably-crash-everywhere") if marker is None else None
        if marker is not None:
            asked = marker.kwargs.get("crash_everywhere", config.getoption("--durably-crash-everywhere"))
        fixtures: list[str] = getattr(item, "fixturenames", [])
        if asked and not config.getoption("--durably-server") and "durably_harness" in fixtures:
            from durably.testing.fixtures import run_everywhere

            function: Any = item
            function.obj = run_everywhere(function.obj, {} if marker is None else marker.kwargs)


@pytest.fixture
def durably_effects() -> Effects:
    """A record for stand-ins of the outside world; empty at the start of every run of the test."""
    from durably.testing.effects import Effects

    return Effects()


@pytest.fixture
def durably_harness(request: pytest.FixtureRequest) -> HarnessFactory:
    """Make harnesses, for `async with` and for `with`; called with services and options."""
    from durably.testing.fixtures import HarnessFactory

    marker = request.node.get_closest_marker("durably")
    effects = request.getfixturevalue("durably_effects") if "durably_effects" in request.fixturenames else None
    return HarnessFactory(request.config.option, {} if marker is None else dict(marker.kwargs), effects)
