"""A disk that remembers every write, for crash images, and that fails on demand.

Owns a VFS for apsw, and a connection that looks to `SqliteStore` like one of the standard library. The files are real;
what a power cut would leave of them is computed from the log: everything up to a file's last sync is there,
and of what came later any 512-byte sectors.

The log-index lives in memory (exclusive locking), because the VFS has no shared memory: readers need another store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest

from durably.engine.store import sqlite as store_module
from durably.engine.store.connections import WAL_LIMIT_BYTES

SECTOR = 512

_CODES = {
    apsw.BusyError: sqlite3.SQLITE_BUSY,
    apsw.CorruptError: sqlite3.SQLITE_CORRUPT,
    apsw.FullError: sqlite3.SQLITE_FULL,
    apsw.IOError: sqlite3.SQLITE_IOERR,
}


@dataclass
class Image:
    """A file: what is surely on the disk, and what was written since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)

    def current(self) -> bytearray:
        """Give what the running system sees."""
        content = bytearray(self.durable)
        for change in self.pending:
            _apply(content, change)
        return content

    def torn(self, random: Random) -> bytearray:
        """Give what a power cut leaves: of each unsynced change some sectors, in any combination."""
        content = bytearray(self.durable)
        for change in self.pending:
            if isinstance(change, int):
                if random.random() < 0.5:
                    _apply(content, change)
                continue
            offset, data = change
            for start in range(0, len(data), SECTOR):
                if random.random() < 0.5:
                    _apply(content, (offset + start, data[start : start + SECTOR]))
        return content


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
        return
    offset, data = change
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk:
    """Every file of a folder, and what happens on each write and sync.

    Attributes:
        files: By full path.
        operations: How many writes, syncs and cuts there were.
        on_operation: Called with the kind of each, before it happens; it may raise.
        lies: Whether a sync only pretends.
    """

    def __init__(self) -> None:
        self.files: dict[str, Image] = {}
        self.operations = 0
        self.on_operation: Callable[[str], None] | None = None
        self.lies = False

    def note(self, kind: str) -> None:
        """Count an operation, and let it fail."""
        self.operations += 1
        if self.on_operation is not None:
            self.on_operation(kind)

    def save(self, folder: Path, content: Callable[[Image], bytes | bytearray]) -> Path:
        """Write an image of every file into a folder, and give the database's path."""
        folder.mkdir()
        for name, image in self.files.items():
            (folder / Path(name).name).write_bytes(content(image))
        database = folder / "engine.db"
        for path in folder.iterdir():
            path.chmod(0o600)
        return database


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._disk = disk
        self._image = disk.files.setdefault(path, Image()) if path else Image()

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.note("write")
        super().xWrite(data, offset)
        self._image.pending.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._disk.note("cut")
        super().xTruncate(newsize)
        self._image.pending.append(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.note("sync")
        super().xSync(flags)
        if self._disk.lies:
            return
        self._image.durable = self._image.current()
        self._image.pending.clear()


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "")
        self.name = name
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._disk.note("delete")
        super().xDelete(filename, syncdir)
        self._disk.files.pop(filename, None)


def _translated(error: apsw.Error) -> sqlite3.Error:
    found = sqlite3.OperationalError(str(error))
    found.sqlite_errorcode = _CODES.get(type(error), sqlite3.SQLITE_ERROR)
    found.sqlite_errorname = type(error).__name__
    return found


class _Cursor:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _Cursor:
        try:
            self._cursor.execute(sql, tuple(parameters))
        except apsw.Error as error:
            raise _translated(error) from error
        return self

    def fetchone(self) -> Any:
        return next(iter(self._cursor), None)

    def fetchall(self) -> list[Any]:
        return list(self._cursor)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)

    @property
    def lastrowid(self) -> int:
        return self._connection.last_insert_rowid()


class RecordedConnection:
    """The part of `sqlite3.Connection` that a store uses, over apsw."""

    def __init__(self, path: str, vfs: str) -> None:
        self._connection = apsw.Connection(path, vfs=vfs)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _Cursor:
        """Execute on a cursor of its own."""
        return self.cursor().execute(sql, parameters)

    def cursor(self) -> _Cursor:
        """Open a cursor."""
        return _Cursor(self._connection)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows changed so far."""
        return self._connection.total_changes()

    def close(self) -> None:
        """Close, also with statements open; as in the standard library, a failing last checkpoint is no error."""
        with suppress(apsw.Error):
            self._connection.close(True)


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Let stores that are opened in a `with` block write to a recorded disk."""
    disk = Disk()
    vfs = _Vfs(f"recorded-{id(disk)}", disk)

    def open_writer(path: str, **_: object) -> RecordedConnection:
        connection = RecordedConnection(path, vfs.name)
        for pragma in (
            "locking_mode = exclusive",
            "journal_mode = wal",
            "synchronous = full",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {WAL_LIMIT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "open_writer", open_writer)
        yield disk
    vfs.unregister()
