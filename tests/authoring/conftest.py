"""The settings that the tests of contexts run in."""

from __future__ import annotations

import pytest

from durably.hosting import thread_pool
from tests.authoring.playing import EVERYWHERE, Play


@pytest.fixture(params=EVERYWHERE, ids=str)
def play(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Play handlers, in one setting after the other."""
    monkeypatch.setattr(thread_pool, "_IDLE_LIMIT_S", 0.2)  # each app has threads of its own
    return Play(request.param)
