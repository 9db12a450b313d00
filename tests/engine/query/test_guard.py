"""Ending queries at a time, and when they take too much space."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import pytest

from durably.engine.query.guard import Guard

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
WIDE = (
    f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT '{'x' * 9000}' || n AS w FROM r ORDER BY w"
)
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("sql", "seconds", "space_bytes", "reason"),
    [(ENDLESS, 0.05, 1024 * MIB, "longer than 0.05 seconds"), (WIDE, 60.0, 8 * MIB, "too much space")],
)
def test_a_query_is_interrupted(sql: str, seconds: float, space_bytes: int, reason: str) -> None:
    """At its time, and when what it sorts fills the disk; the reason is known afterwards, and no thread is left."""
    before = set(threading.enumerate())
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        guard = Guard(connection, seconds=seconds, space_bytes=space_bytes)
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"), guard:
            connection.execute(sql).fetchall()
        assert guard.reason is not None
        assert reason in guard.reason
        assert time.monotonic() - started < 30
    assert "durably-query-guard" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_a_quick_query_is_left_alone() -> None:
    """Nothing is interrupted after its end."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        guard = Guard(connection, seconds=0.05, space_bytes=MIB)
        with guard:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        time.sleep(0.06)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert guard.reason is None
