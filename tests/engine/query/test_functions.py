"""Functions of queries: those for operators, and what the views make of suspensions and failures."""

from __future__ import annotations

import json
import sqlite3

import pytest

from durably.engine.query.functions import ALLOWED, INTERNAL, add_functions
from durably.protocol.messages import Future

NOW_MS = 1_795_425_129_479


def value(sql: str, *parameters: object) -> object:
    """Evaluate an expression with our functions."""
    connection = sqlite3.connect(":memory:")
    try:
        add_functions(connection, NOW_MS)
        (row,) = connection.execute(f"SELECT {sql}", parameters).fetchall()
        return row[0]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("now()", "2026-11-23T09:12:09.479Z"),
        ("concat('a', NULL, 1)", "a1"),
        ("char_length('€')", 1),
        ("starts_with('abc', 'ab')", 1),
        ("starts_with(NULL, 'ab')", None),
        ("strpos('abc', 'c')", 3),
        ("strpos('abc', 'x')", 0),
        ("array_contains('[\"a\"]', 'a')", 1),
        ("array_has(NULL, 'a')", None),
    ],
)
def test_operators_have_what_the_real_servers_sql_has(sql: str, expected: object) -> None:
    """Functions that SQLite does not bring."""
    assert value(sql) == expected


@pytest.mark.parametrize(
    ("sql", "parameter", "expected"),
    [
        ("iso_time(?)", 1500, "1970-01-01T00:00:01.500Z"),
        ("iso_time(?)", -1, None),
        ("iso_time(?)", 10**17, None),
        ("iso_time(?)", None, None),
        ("iso_duration(?)", 1500, "PT1.5S"),
        ("iso_duration(?)", None, None),
        ("utf8(?)", b"a", "a"),
        ("utf8(?)", b"\xff", None),
        ("utf8(?)", None, None),
        ("service_of_target(?)", "Thing/k/put", "Thing"),
        ("service_of_target(?)", "", None),
        ("failure_text(?)", '[418, "boom", []]', "[418] boom"),
        ("failure_text(?)", None, None),
    ],
)
def test_absent_values_stay_absent(sql: str, parameter: object, expected: object) -> None:
    """And what has no text is NULL, never an error."""
    assert value(sql, parameter) == expected


def test_what_an_invocation_waits_for_is_shown() -> None:
    """All leaves of the tree, and the tree."""
    future = Future(
        waiting_signals=[1], nested_futures=[Future(waiting_completions=[3, 2], combinator_type=2)], combinator_type=1
    )
    details = json.dumps({"suspended_on": future.SerializeToString().hex()})
    assert value("awaited_completions(?)", details) == "[2, 3]"
    assert value("awaited_signals(?)", details) == "[1]"
    tree = json.loads(str(value("future_json(?, 'suspended_on')", details)))
    assert tree == {
        "FirstCompleted": [{"SignalIndex": 1}, {"AllCompleted": [{"CompletionId": 3}, {"CompletionId": 2}]}]
    }
    assert value("future_json(?, 'awaiting_on')", details) is None
    assert value("awaited_completions('')") is None
    assert value("awaited_completions(?)", '{"suspended_on": "ff"}') is None


def test_why_an_attempt_failed_is_shown_field_by_field() -> None:
    """Empty fields are NULL, a message type has its name."""
    failure = {"code": 500, "message": "no", "doc_code": "", "command_index": 2, "command_type": 0x0411}
    details = json.dumps({"failure": failure})
    assert value("failure_field(?, 'text')", details) == "[500] no"
    assert value("failure_field(?, 'doc_code')", details) is None
    assert value("failure_field(?, 'command_index')", details) == 2
    assert value("failure_field(?, 'command_type')", details) == "Run"
    assert value("failure_field('', 'text')") is None


def test_nothing_that_touches_files_is_allowed() -> None:
    """Nor what makes a value of any size, nor what the views alone may call."""
    forbidden = {
        "load_extension",
        "readfile",
        "writefile",
        "edit",
        "zeroblob",
        "randomblob",
        "fts5",
        "sqlite_source_id",
    }
    assert not ALLOWED & (forbidden | set(INTERNAL))
