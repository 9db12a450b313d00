"""The SQL of the engine: every statement has a name, a use, and an index."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from durably.engine.store import statements
from durably.engine.store.migrations import MIGRATIONS
from durably.engine.store.statements import SQL, parse_statements

READS_ALL = {"deployments", "services"}
"""Tables of a few rows, which are read whole."""


@pytest.fixture(scope="module")
def connection() -> sqlite3.Connection:
    """The schema, in memory."""
    made = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        made.executescript(migration.sql)
    return made


@pytest.mark.parametrize("name", SQL)
def test_a_statement_uses_an_index(name: str, connection: sqlite3.Connection):
    """No statement looks at every row of a table, or sorts a table to find its first row."""
    parameters = (None,) * SQL[name].count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", parameters)]
    scans = [step for step in plan if step.startswith("SCAN") and "CONSTANT ROW" not in step]
    if name in READS_ALL:
        assert len(scans) == 1
    elif name == "next_timer":
        assert scans in ([], ["SEARCH timers USING COVERING INDEX timers_due"])
    else:
        assert scans == []
    sorts = [step for step in plan if "TEMP B-TREE" in step]
    assert sorts == [] or name == "promise_waiters", plan


@pytest.mark.parametrize("name", SQL)
def test_a_statement_is_used(name: str):
    """Each statement is executed somewhere under its name, so that none is left over."""
    folder = Path(statements.__file__).parent
    assert any(f'SQL["{name}"]' in path.read_text(encoding="utf-8") for path in folder.glob("*.py"))


def test_values_are_parameters():
    """No SQL is put together from values: the only names put in are those of pragmas and constants."""
    folder = Path(statements.__file__).parent
    built = [
        (path.name, line.strip())
        for path in folder.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"execute(many|script)?\(\s*f\"", line) and "PRAGMA" not in line
    ]
    assert built == []


@pytest.mark.parametrize(
    "text",
    [
        "-- name: a\nSELECT 1;",
        "-- name: a\n-- described",
        "-- name: a\n-- described\nSELECT 1;\n-- name: a\n-- again\nSELECT 2;",
        "SELECT 1;\n-- name: a\n-- described\nSELECT 1;",
    ],
    ids=["no description", "no text", "twice", "before the first name"],
)
def test_a_careless_file_is_refused(text: str):
    """What has no name, no description or no text is an error at import."""
    with pytest.raises(ValueError, match="stands"):
        parse_statements(text)


def test_a_statement_is_read_whole():
    """Name, description over several lines, and text without its semicolon."""
    found = parse_statements("-- name: both\n-- One\n-- and two.\nSELECT 1,\n  2;\n\n-- name: c\n-- C.\nSELECT 3;\n")
    assert list(found) == ["both", "c"]
    assert (found["both"].description, found["both"].sql) == ("One and two.", "SELECT 1,\n  2")
