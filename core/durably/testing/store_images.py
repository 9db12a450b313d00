"""What an engine's file says at one moment, for the oracles.

Owns the reading: one transaction, read-only, while an engine may be running on the file. It knows the schema and
nothing of the engine's code, so that a defect there cannot hide itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

__all__ = ["Entry", "StoreImage", "StoredInvocation"]

_INDEX_BITS: Final = 20
_TABLES: Final = {
    "locks": "SELECT * FROM locks",
    "inbox": "SELECT * FROM inbox",
    "timers": "SELECT * FROM timers",
    "waiters": "SELECT * FROM waiters",
    "promise_waiters": "SELECT * FROM promise_waiters",
}
_ENTRIES: Final = "SELECT position, type, handle, appended_at, payload FROM entries ORDER BY position"


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored entry of a journal."""

    index: int
    type: int
    handle: int | str | None
    appended_at: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoredInvocation:
    """A stored invocation with its journal.

    Attributes:
        row: The columns of the table `invocations`.
        entries: Its journal; empty when it was purged.
        value: Its result, if it returned one.
        failure: Its failure as JSON, if it failed.
        has_result: Whether a result is stored.
    """

    row: Mapping[str, Any]
    entries: tuple[Entry, ...]
    value: bytes | None
    failure: str | None
    has_result: bool

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.row["id"])

    @property
    def status(self) -> str:
        """Its status, as operators see it."""
        return str(self.row["status"])

    @property
    def address(self) -> tuple[str, str]:
        """Service and key."""
        return self.row["service"], self.row["key"]

    def __str__(self) -> str:
        """Name it in findings."""
        return f"{self.id} ({'/'.join(filter(None, [*self.address, self.row['handler']]))}, {self.status})"


@dataclass(frozen=True, slots=True)
class StoreImage:
    """All that one state of a file says about invocations.

    Attributes:
        path: The file.
        invocations: By id.
        tables: The rows of `locks`, `inbox`, `timers`, `waiters` and `promise_waiters`.
    """

    path: Path
    invocations: Mapping[str, StoredInvocation]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict[str, Sequence[Mapping[str, Any]]])

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file in one transaction; an engine may be running on it.

        Raises:
            sqlite3.Error: It cannot be read.
        """
        file = Path(path).resolve()
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            tables = {name: [dict(row) for row in connection.execute(sql)] for name, sql in _TABLES.items()}
            journals: dict[int, list[Entry]] = {}
            for position, kind, handle, appended_at, payload in connection.execute(_ENTRIES):
                number, index = position >> _INDEX_BITS, position & ((1 << _INDEX_BITS) - 1)
                journals.setdefault(number, []).append(Entry(index, kind, handle, appended_at, bytes(payload)))
            results = {row["number"]: row for row in connection.execute("SELECT * FROM results")}
            invocations = dict[str, StoredInvocation]()
            for row in connection.execute("SELECT * FROM invocations"):
                result = results.get(row["number"])
                invocations[row["id"]] = StoredInvocation(
                    dict(row),
                    tuple(journals.get(row["number"], ())),
                    None if result is None or result["value"] is None else bytes(result["value"]),
                    None if result is None else result["failure"],
                    result is not None,
                )
            return cls(file, invocations, tables)
