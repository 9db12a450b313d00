"""What a transaction on the file writes, and what it remembers so that it need not read."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from durably.engine.records import Status
from durably.engine.store.sqlite import SqliteStore
from durably.engine.store.statements import SQL
from tests.engine.store.samples import entries, invocation

FRAME_BYTES = 4096 + 24
"""A page and its header in the log."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with a running invocation."""
    made = SqliteStore(str(tmp_path / "engine.db"))
    row = invocation()
    row.status = Status.RUNNING
    made.begin().insert_invocation(row)
    made.commit()
    yield made
    made.close()


def take_step(store: SqliteStore, number: int) -> None:
    """Do what a step does: a look for an earlier result, a command, its result, and the news of both."""
    transaction = store.begin()
    row = transaction.invocation("inv_a")
    assert row is not None
    assert transaction.notified("inv_a", (number,)) == {}
    transaction.append_entries("inv_a", entries(2 * number, None, number))
    row.journal_length, row.command_count, row.last_entry_at = 2 * number + 2, number + 1, 2 * number
    transaction.grow_invocation(row)
    store.commit()


def test_a_step_writes_one_page(store: SqliteStore):
    """That of its journal: neither its invocation nor an index changes with a step."""
    take_step(store, 0)
    before = store.wal_bytes
    for number in range(1, 11):
        take_step(store, number)
    assert store.wal_bytes - before == 10 * FRAME_BYTES


def stored_length(store: SqliteStore) -> int:
    """Read the column, without what a reader counts."""
    connection = sqlite3.connect(store.path)
    (length,) = connection.execute("SELECT journal_length FROM invocations").fetchone()
    connection.close()
    return int(length)


@pytest.mark.parametrize("how", ["by a reader", "rolled back", "opened again"])
def test_what_a_step_brought_is_counted_when_it_is_read(store: SqliteStore, how: str):
    """Length, commands and the time of the last one are as the writer knows them, though its row does not tell."""
    for number in range(10):
        take_step(store, number)
    assert stored_length(store) == 0
    if how == "rolled back":
        store.begin().append_entries("inv_a", entries(20, None))
        store.rollback()
    elif how == "opened again":
        store.close()
        store = SqliteStore(store.path)
    if how == "by a reader":
        row = store.read(lambda reader: reader.invocation("inv_a"))
    else:
        row = store.begin().invocation("inv_a")
        store.rollback()
    assert row is not None
    assert (row.journal_length, row.command_count, row.last_entry_at) == (20, 10, 18)
    store.close()


def test_what_has_to_be_counted_is_bounded(store: SqliteStore):
    """However long an invocation runs, its row is at most 64 entries behind, and right once anything else changes."""
    behind: list[int] = []
    for number in range(100):
        take_step(store, number)
        behind.append(2 * number + 2 - stored_length(store))
    assert 32 < max(behind) < 64
    transaction = store.begin()
    row = transaction.invocation("inv_a")
    assert row is not None
    row.status = Status.SUSPENDED
    transaction.put_invocation(row)
    store.commit()
    assert stored_length(store) == 200


def test_the_small_update_touches_no_index(store: SqliteStore):
    """No column that it sets stands in an index or in the condition of one, since naming it would cost a page."""
    connection = sqlite3.connect(store.path)
    sources = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'invocations'")]
    connection.close()
    indexes = " ".join(source for source in sources if source and source.startswith("CREATE INDEX"))
    assert "expires_at" in indexes
    small = set(re.findall(r"(\w+) = \?", SQL["update_progress"].partition("WHERE")[0]))
    assert small.isdisjoint(re.findall(r"\w+", indexes))
    whole = set(re.findall(r"(\w+) = \?", SQL["update_invocation"].partition("WHERE")[0]))
    assert whole - small == {"status", "expires_at", "journal_expires_at"}


@pytest.mark.parametrize("field", ["status", "expires_at", "journal_expires_at", "retry_count", "suspended_on"])
def test_every_change_is_stored(store: SqliteStore, field: str):
    """Whichever field alone changes, a reader sees it after the commit, found by its index too."""
    value = {"status": Status.PAUSED, "suspended_on": b"x"}.get(field, 7)
    transaction = store.begin()
    row = transaction.invocation("inv_a")
    assert row is not None
    setattr(row, field, value)
    transaction.put_invocation(row)
    store.commit()
    assert store.read(lambda reader: reader.invocation("inv_a")) == row
    assert store.read(lambda reader: reader.running("", 9)) == ([] if field == "status" else ["inv_a"])
    assert store.read(lambda reader: reader.expired(7, 9)) == (["inv_a"] if field == "expires_at" else [])


def test_what_did_not_change_is_not_written(store: SqliteStore):
    """Putting an invocation back as it was costs no page."""
    take_step(store, 0)
    sizes: list[int] = []
    for _ in range(2):  # the first time the counts are written
        transaction = store.begin()
        row = transaction.invocation("inv_a")
        assert row is not None
        transaction.put_invocation(row)
        store.commit()
        sizes.append(store.wal_bytes)
    assert sizes[1] == sizes[0]


@pytest.mark.parametrize("how", ["rolled back", "too many", "opened again"])
def test_what_was_forgotten_is_read_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, how: str):
    """After a rollback, a trim and a start, the results of steps are known as before, and no others."""
    for number in range(1, 4):
        take_step(store, number)
    if how == "rolled back":
        store.begin().append_entries("inv_a", entries(8, None, 4))
        store.rollback()
    elif how == "too many":
        monkeypatch.setattr("durably.engine.store.sqlite_writes._REMEMBERED_NOTIFICATIONS", 2)
    else:
        store.close()
        store = SqliteStore(store.path)
    transaction = store.begin()
    assert transaction.notified("inv_a", (1, 3, 4, "3"), 5) == {3: True}
    assert transaction.notified("inv_a", (1, 2, 3, 4)) == {1: True, 2: True, 3: True}
    store.rollback()
    take_step(store, 4)
    store.close()
