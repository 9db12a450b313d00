"""What SQLite's errors mean for the engine.

Owns the table from SQLite's result codes to the `StoreError` family. Only codes count, never the
text of a message.

    result code                    error                  what the engine does
    BUSY, LOCKED, PROTOCOL         StoreBusyError         answer 503; try again
    FULL                           StoreFullError         answer 503; goes on once there is space
    IOERR                          StoreFailedError       stop: after a failed sync nothing is known
    CORRUPT, NOTADB                StoreCorruptError      stop: restore a backup
    READONLY, CANTOPEN, PERM       StoreLocationError     stop: mend the path or its permissions
    anything else                  StoreError             a defect of ours
"""

from __future__ import annotations

import sqlite3
from typing import Final

from durably.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFailedError,
    StoreFullError,
    StoreLocationError,
)

__all__ = ["translated"]

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCATION: Final = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_PRIMARY_BITS: Final = 0xFF  # an extended result code carries its primary code in the lowest byte


def translated(error: sqlite3.Error, path: str) -> StoreError:
    """Say what an error of SQLite means; the caller raises the answer `from` it.

    Args:
        error: Raised by a connection to the engine's file.
        path: The file, for the message.
    """
    extended: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    name: str = getattr(error, "sqlite_errorname", "no result code")
    code = extended & _PRIMARY_BITS
    if code in _BUSY:
        return StoreBusyError(
            f"Another process holds the lock of {path} ({name}).",
            hint="One engine drives a file; look for a backup tool or a shell that left a transaction open.",
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"There is no space left for {path}.", hint="Free some: the engine goes on by itself.")
    if code == sqlite3.SQLITE_IOERR:
        return StoreFailedError(
            f"The disk failed under {path} ({name}).",
            hint="Whether the last transaction is stored is unknown: restart the engine once the disk works.",
        )
    if code in _CORRUPT:
        return StoreCorruptError(
            f"{path} is damaged, or is no SQLite file ({name}).",
            hint="Keep it, with its -wal file, for recovery, and restore a backup.",
        )
    if code in _LOCATION:
        return StoreLocationError(
            f"{path} cannot be written ({name}).",
            path=path,
            hint="The engine writes the file and its directory.",
        )
    return StoreError(f"SQLite refused a statement on {path} ({name}): {error}")
