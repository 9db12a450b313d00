"""Engines to test: on memory and on a file, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from durably import ManualClock
from tests.engine.runtime.services import Shop


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give both kinds of store."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/engine.db"


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Give a store that outlives an engine."""
    return f"sqlite:///{tmp_path}/engine.db"


@pytest.fixture
def shop() -> Shop:
    """Give services, and what they did."""
    return Shop()


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock()


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.002)
