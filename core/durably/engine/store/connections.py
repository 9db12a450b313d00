"""Opening SQLite connections with the settings that durability rests on.

Owns the pragmas. Each one that matters is read back, because SQLite ignores what it does not like
without a word, and its defaults differ between builds.

    pragma            writer   reader   why
    journal_mode      wal      –        readers never wait for the writer; stored in the file
    synchronous       FULL     FULL     a commit is on the disk when it returns; NORMAL loses some in a power cut
    mmap_size         0        0        an I/O error must be an error, not a signal
    query_only        –        1        only the writer writes, and so only the writer checkpoints
    busy_timeout      5 s      5 s      wait for a backup tool, then say so; 20 ms for the writer once it is open
    trusted_schema    0        0        a prepared file must not run functions
    wal_autocheckpoint 0       –        the store checkpoints itself: SQLite's own would hide a failed sync
    journal_size_limit 64 MiB  –        the WAL gives space back after a long reader

Source: sqlite.org/pragma.html and sqlite.org/wal.html; the rules are ours.
"""

from __future__ import annotations

import sqlite3
from typing import Final
from urllib.parse import quote

from durably.engine.store.failures import translated
from durably.errors import StoreError

__all__ = ["BUSY_TIMEOUT_S", "WAL_LIMIT_BYTES", "open_reader", "open_writer"]

BUSY_TIMEOUT_S: Final = 5.0
"""How long a statement waits for another process's lock."""

WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""A longer WAL is cut when the writer has nothing else to do."""

_WRITER_CACHE_KIB: Final = 16 * 1024  # the index pages of 100,000 invocations stay in memory
_READER_CACHE_KIB: Final = 2 * 1024
_CACHED_STATEMENTS: Final = 256  # more than there are, so that no hot statement is ever parsed twice
_FULL: Final = 2


def open_writer(path: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open the one connection that writes.

    Args:
        path: Absolute, prepared with `prepare_file`.
        busy_timeout_s: How long a statement waits for another process.

    Raises:
        StoreError: The file cannot be opened, or not with the settings that durability needs.
    """
    connection = _connect(path, busy_timeout_s)
    try:
        found = _pragma(connection, "journal_mode = wal")
        if found != "wal":
            raise StoreError(f"{path} cannot use a write-ahead log (its journal mode is {found!r}).")
        _set(connection, path, "synchronous", _FULL)
        _set(connection, path, "mmap_size", 0)
        _set(connection, path, "trusted_schema", 0)
        _set(connection, path, "wal_autocheckpoint", 0)
        _set(connection, path, "cache_size", -_WRITER_CACHE_KIB)
        _set(connection, path, "journal_size_limit", WAL_LIMIT_BYTES)
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """Open a connection that cannot write.

    Raises:
        StoreError: As for `open_writer`.
    """
    connection = _connect(path, busy_timeout_s)
    try:
        _set(connection, path, "query_only", 1)
        _set(connection, path, "synchronous", _FULL)
        _set(connection, path, "mmap_size", 0)
        _set(connection, path, "trusted_schema", 0)
        _set(connection, path, "cache_size", -_READER_CACHE_KIB)
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: str, busy_timeout_s: float) -> sqlite3.Connection:
    try:
        # mode=rw: `prepare_file` has created the file with the right mode; SQLite must not create another.
        return sqlite3.connect(
            f"file:{quote(path)}?mode=rw",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _pragma(connection: sqlite3.Connection, text: str) -> object:
    row: tuple[object, ...] | None = connection.execute(f"PRAGMA {text}").fetchone()
    return None if row is None else row[0]


def _set(connection: sqlite3.Connection, path: str, name: str, value: int) -> None:
    connection.execute(f"PRAGMA {name} = {value}")
    found = _pragma(connection, name)
    if found is None and name == "mmap_size":  # built without memory mapping, which is what we want
        return
    if found != value:
        raise StoreError(f"SQLite does not accept {name} = {value} for {path}: it stays {found!r}.")
