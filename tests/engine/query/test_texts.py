"""LIKE and its relatives do what SQLite's own do."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.engine.query.texts import TEXTS

WORDS = st.text(alphabet="aAbB%_é€.\n\\", max_size=8)


def asked(sql: str, *values: object, ours: bool) -> object:
    """Give the value of an expression."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for (name, arguments), function in TEXTS.items() if ours else ():
            connection.create_function(name, arguments, function, deterministic=True)
        (found,) = connection.execute(f"SELECT {sql}", values).fetchone()
        return found


@given(text=WORDS, pattern=WORDS)
def test_like_is_sqlites(text: str, pattern: str) -> None:
    """Any text, any pattern; with an escape character too."""
    for sql in ("? LIKE ?", r"? LIKE ? ESCAPE '\'"):
        if pattern.endswith("\\"):
            continue  # an escape of nothing
        assert asked(sql, text, pattern, ours=True) == asked(sql, text, pattern, ours=False), sql


@given(text=WORDS, part=WORDS, other=WORDS)
def test_searching_and_changing_is_sqlites(text: str, part: str, other: str) -> None:
    """Any texts."""
    for sql, values in (
        ("instr(?, ?)", (text, part)),
        ("replace(?, ?, ?)", (text, part, other)),
        ("trim(?, ?)", (text, part)),
        ("ltrim(?, ?)", (text, part)),
        ("rtrim(?, ?)", (text, part)),
        ("trim(?)", (f"  {text} ",)),
    ):
        assert asked(sql, *values, ours=True) == asked(sql, *values, ours=False), sql


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("? LIKE ?", (None, "a")),
        ("? LIKE ?", (12, "1_")),
        ("? LIKE ?", (b"ab", "A%")),
        ("instr(?, ?)", (b"abc", b"c")),
        ("instr(?, ?)", (None, "a")),
        ("replace(?, ?, ?)", (None, "a", "b")),
        ("trim(?, ?)", ("a", None)),
    ],
)
def test_other_values_are_treated_alike(sql: str, values: tuple[object, ...]) -> None:
    """NULL, numbers and bytes."""
    assert asked(sql, *values, ours=True) == asked(sql, *values, ours=False)
