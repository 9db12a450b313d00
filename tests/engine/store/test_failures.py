"""What each result code of SQLite means for the engine."""

from __future__ import annotations

import sqlite3

import pytest

from durably.engine.store.failures import translated
from durably.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFailedError,
    StoreFullError,
    StoreLocationError,
)

CASES = {
    sqlite3.SQLITE_BUSY: StoreBusyError,
    sqlite3.SQLITE_BUSY_SNAPSHOT: StoreBusyError,
    sqlite3.SQLITE_LOCKED: StoreBusyError,
    sqlite3.SQLITE_PROTOCOL: StoreBusyError,
    sqlite3.SQLITE_FULL: StoreFullError,
    sqlite3.SQLITE_IOERR: StoreFailedError,
    sqlite3.SQLITE_IOERR_FSYNC: StoreFailedError,
    sqlite3.SQLITE_IOERR_WRITE: StoreFailedError,
    sqlite3.SQLITE_CORRUPT: StoreCorruptError,
    sqlite3.SQLITE_CORRUPT_INDEX: StoreCorruptError,
    sqlite3.SQLITE_NOTADB: StoreCorruptError,
    sqlite3.SQLITE_READONLY_DBMOVED: StoreLocationError,
    sqlite3.SQLITE_CANTOPEN: StoreLocationError,
    sqlite3.SQLITE_PERM: StoreLocationError,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: StoreError,
    sqlite3.SQLITE_ERROR: StoreError,
}


@pytest.mark.parametrize("code", CASES)
def test_codes_are_told_apart(code: int):
    """The class follows from the code, extended ones included, and the text names the file."""
    error = sqlite3.OperationalError("any text: database is locked, disk is full")
    error.sqlite_errorcode = code
    found = translated(error, "some/file.db")
    assert type(found) is CASES[code]
    assert "some/file.db" in found.message


def test_an_error_without_a_code_is_a_defect():
    """What the driver itself raises has no code: it is our mistake, and its text is kept."""
    found = translated(sqlite3.ProgrammingError("Incorrect number of bindings"), "f.db")
    assert type(found) is StoreError
    assert "Incorrect number of bindings" in found.message
