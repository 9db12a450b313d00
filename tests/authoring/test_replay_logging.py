"""Loggers stay silent exactly while the current attempt is replaying."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest

import durably.logging
from durably.authoring.current import current_attempt
from durably.authoring.replay_logging import RestateLoggingFilter, getLogger


@dataclass
class _Attempt:
    is_replaying: bool


@pytest.fixture
def attempt() -> Iterator[_Attempt]:
    """Run the test inside an attempt."""
    found = _Attempt(is_replaying=True)
    token = current_attempt.set(cast("Any", found))
    yield found
    current_attempt.reset(token)


def test_records_of_a_replay_are_held_back(attempt: _Attempt, caplog: pytest.LogCaptureFixture) -> None:
    """What a handler logs while it replays is dropped, what it logs afterwards passes."""
    logger = getLogger("tests.replaying")

    logger.warning("again")
    attempt.is_replaying = False
    logger.warning("first time")

    assert [record.message for record in caplog.records] == ["first time"]


def test_outside_of_attempts_everything_passes(caplog: pytest.LogCaptureFixture) -> None:
    """Records that belong to no attempt pass."""
    durably.logging.getLogger("tests.outside").warning("hello")

    assert [record.message for record in caplog.records] == ["hello"]


def test_a_logger_gets_one_filter() -> None:
    """Asking for the same logger again does not add another filter."""
    logger = getLogger("tests.once")
    getLogger("tests.once")

    assert len(logger.filters) == 1


def test_the_filter_works_on_handlers_and_by_name(attempt: _Attempt) -> None:
    """As any filter of `logging` it can be limited to a name."""
    record = logging.LogRecord("app.orders", logging.INFO, __file__, 1, "text", None, None)

    assert not RestateLoggingFilter().filter(record)
    attempt.is_replaying = False
    assert RestateLoggingFilter("app").filter(record)
    assert not RestateLoggingFilter("other").filter(record)
