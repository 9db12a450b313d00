"""The settings that durability rests on, read back from the connections."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from durably.engine.store import connections
from durably.engine.store.connections import WAL_LIMIT_BYTES, open_reader, open_writer
from durably.engine.store.files import prepare_file
from durably.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> str:
    """An empty file, with a name that a careless address would cut."""
    return prepare_file(str(tmp_path / "a?b#c%20.db"))


def pragma(connection: sqlite3.Connection, name: str) -> object:
    """Ask a connection for a setting."""
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_the_writer_is_durable(path: str):
    """Write-ahead log, full sync, no memory mapping, no trust in the schema; and the file is the one that was named."""
    connection = open_writer(path)
    settings = {
        "journal_mode": "wal",
        "synchronous": 2,
        "mmap_size": 0,
        "trusted_schema": 0,
        "wal_autocheckpoint": 0,
        "journal_size_limit": WAL_LIMIT_BYTES,
        "query_only": 0,
    }
    assert {name: pragma(connection, name) for name in settings} == settings
    assert connection.execute("PRAGMA database_list").fetchone()[2] == path
    connection.close()


def test_a_reader_cannot_write(path: str):
    """A reader has the same settings, and every write fails on it."""
    writer = open_writer(path)
    writer.execute("CREATE TABLE t (x)")
    reader = open_reader(path)
    assert [pragma(reader, name) for name in ("query_only", "synchronous", "mmap_size")] == [1, 2, 0]
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("INSERT INTO t VALUES (1)")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_READONLY
    reader.close()
    writer.close()


def test_a_setting_that_does_not_hold_is_refused(path: str, monkeypatch: pytest.MonkeyPatch):
    """A store without full sync, or without a write-ahead log, is not opened."""
    monkeypatch.setattr(connections, "_FULL", 7)
    with pytest.raises(StoreError, match="synchronous = 7"):
        open_writer(path)
    with pytest.raises(StoreError, match="synchronous = 7"):
        open_reader(path)
    monkeypatch.setattr(connections, "_pragma", lambda *_: "delete")
    with pytest.raises(StoreError, match="write-ahead log"):
        open_writer(path)


def test_a_missing_file_is_not_created(tmp_path: Path):
    """SQLite does not make a file of its own, with a mode of its own."""
    with pytest.raises(StoreError):
        open_writer(str(tmp_path / "missing.db"))
    with pytest.raises(StoreError):
        open_reader(str(tmp_path / "missing.db"))
    assert list(tmp_path.iterdir()) == []
