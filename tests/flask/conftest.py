"""Flask applications on an engine in memory, once as they are and once with every attempt replayed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durably.engine.options import EngineOptions, RetryPolicy
from durably.protocol.manifest import OnMaxAttempts
from tests.flask.worlds import World

_AT_ONCE = RetryPolicy(initial_interval_ms=1, max_interval_ms=2, max_attempts=20, on_max_attempts=OnMaxAttempts.KILL)


@pytest.fixture(params=["streaming", "suspending"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Give an application; in the second form each wait suspends, so that each attempt replays the ones before."""
    idle_ms = 60_000 if request.param == "streaming" else 0
    made = World(EngineOptions(inactivity_timeout_ms=idle_ms, retry_policy=_AT_ONCE))
    yield made
    made.close()


@pytest.fixture
def quiet_world() -> Iterator[World]:
    """Give an application whose attempts stream."""
    made = World(EngineOptions(retry_policy=_AT_ONCE))
    yield made
    made.close()
