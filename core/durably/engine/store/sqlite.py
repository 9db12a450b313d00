"""The engine's file: opening it, transactions, readers, checkpoints, and what an error does to it.

Owns the life of the connections. One connection writes and checkpoints; readers are `query_only`.

    state      meaning                                                   leaves it
    open       everything works
    failed     an I/O error, damage or a missing file while writing:       `reopen`
               nothing is accepted
    closed     nothing may be called
    (forked)   the process is not the one that opened it                   never

Rules
    1. The writer's transaction takes the write lock at its beginning (`BEGIN IMMEDIATE`): a transaction that read
       first and wrote later would fail at once when another process wrote in between.
    2. A failed sync is never tried again: Linux forgets what it could not write. Checkpoints are therefore asked for
       here, where their errors are seen, and not left to SQLite, which ignores them.
    3. `reopen` makes durable whatever survived, by a complete checkpoint, or fails.
    4. `begin` hardly waits for another process's lock, because it may be called on an event loop: who called it tries
       again. `commit` waits for the disk, and may be called on another thread than `begin`.
    5. Nothing is committed to a file that is no longer at its path: nobody would find it again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar

from typing_extensions import override

from durably.engine.store.connections import BUSY_TIMEOUT_S, WAL_LIMIT_BYTES, open_reader, open_writer
from durably.engine.store.contract import Reader, Store, Transaction
from durably.engine.store.failures import translated
from durably.engine.store.files import check_side_files, prepare_file
from durably.engine.store.filesystems import magic_of
from durably.engine.store.migrations import migrate
from durably.engine.store.sqlite_reads import SqliteReader
from durably.engine.store.sqlite_writes import SqliteTransaction
from durably.engine.store.statements import SQL
from durably.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFailedError,
    StoreFencedError,
    StoreForkedError,
    StoreFullError,
    StoreLocationError,
)

__all__ = ["SqliteStore"]

T = TypeVar("T")

_logger = logging.getLogger("durably.engine.store")

_BEGIN_TIMEOUT_MS: Final = 20
"""How long `begin` waits for another process: about as long as a small commit takes."""

_CHECKPOINT_ROWS: Final = 1000
"""Changed rows after which an idle writer copies the WAL into the file: about as many pages."""

_CHECKPOINT_ROWS_BUSY: Final = 4000
"""The same for a writer with work waiting; it costs it some milliseconds."""

_CHECKPOINT_BLOB_BYTES: Final = 16 * 1024 * 1024
"""Payload bytes that count as much as `_CHECKPOINT_ROWS_BUSY`."""

_CUT_PAUSE_S: Final = 1.0
"""How long to wait after a reader kept the WAL from being cut."""

_WAL_WARNING_BYTES: Final = 256 * 1024 * 1024
_MAX_IDLE_READERS: Final = 4


class SqliteStore(Store):
    """A store in a SQLite file.

    Args:
        path: The file; it is created when it does not exist, its directory is not.
        busy_timeout_s: How long opening and reading wait for another process's lock.
        magic: Tells the kind of file system.

    Attributes:
        path: The file, absolute.
        is_wal_long: Whether the last checkpoint left a log that should be cut, because a reader used it or work waited.

    Raises:
        StoreLocationError: The file cannot be kept safely there.
        StoreSchemaError: A newer release, or another program, wrote it.
        StoreCorruptError: It is damaged.
        StoreBusyError: Another process has it locked.
    """

    def __init__(
        self,
        path: str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        magic: Callable[[str], int | None] = magic_of,
    ) -> None:
        self.path: str = prepare_file(path, magic=magic)
        self._busy_timeout_s = busy_timeout_s
        self._epoch: int | None = None
        self._readers: list[SqliteReader] = []
        self._readers_lock = threading.Lock()
        self._is_closed = False
        self._has_warned_of_wal = False
        self.is_wal_long: bool = False
        self._pid = os.getpid()
        self._failure: StoreError | None = None
        self._writer: int | None = None
        self._is_marked = False
        self._connection, self._transaction = self._open()
        self._file_id = self._find_file()
        self._checkpointed_changes = self._connection.total_changes
        self._next_cut = 0.0

    # ---- the writer

    @override
    def begin(self) -> Transaction:
        self._check_usable()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._epoch is not None:
                self._check_epoch(self._epoch)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self._writer = threading.get_ident()
        self._is_marked = False
        self._transaction.trim()
        return self._transaction

    @override
    def commit(self) -> None:
        if self._find_file() != self._file_id:
            self.rollback()
            self._failure = self._gone()
            raise self._failure
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = self._translated(error)
            self.rollback()
            raise failure from error
        self._writer = None

    @override
    def rollback(self) -> None:
        self._writer = None
        self._transaction.forget()
        if self._connection.in_transaction:  # after some errors SQLite has rolled back by itself
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                self._failure = StoreFailedError(f"A transaction on {self.path} could not be rolled back.")
                raise self._failure from error

    @override
    def mark(self) -> None:
        try:
            if self._is_marked:
                self._connection.execute("RELEASE piece")
            self._connection.execute("SAVEPOINT piece")
        except sqlite3.Error as error:
            raise self._translated(error) from error
        self._is_marked = True

    @override
    def rollback_to_mark(self) -> None:
        self._transaction.forget()
        try:
            self._connection.execute("ROLLBACK TO piece")
        except sqlite3.Error as error:
            raise self._translated(error) from error

    @override
    def fence(self, epoch: int | None) -> None:
        self._epoch = epoch

    # ---- readers

    @override
    def read(self, work: Callable[[Reader], T]) -> T:
        if self._writer == threading.get_ident():
            raise StoreError("This thread has a transaction open already.")
        reader = self._take_reader()
        try:
            reader.connection.execute("BEGIN")
            result = work(reader)
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        finally:
            self._give_back(reader)
        return result

    # ---- maintenance, on the writer's thread between transactions

    def is_due(self, *, is_idle: bool) -> bool:
        """Tell whether `maintain` has something to do; cheap enough to be asked after every commit.

        Args:
            is_idle: Whether no work waits.
        """
        if self._failure is not None:
            return False
        rows = self._connection.total_changes - self._checkpointed_changes
        return (
            rows >= (_CHECKPOINT_ROWS if is_idle else _CHECKPOINT_ROWS_BUSY)
            or self._transaction.blob_bytes >= _CHECKPOINT_BLOB_BYTES
            or (is_idle and self.is_wal_long and monotonic() >= self._next_cut)
        )

    def maintain(self, *, is_idle: bool) -> None:
        """Copy the WAL into the file, and cut it when it is long and no work waits. It takes milliseconds.

        Args:
            is_idle: Whether no work waits.

        Raises:
            StoreFailedError: The disk failed. The store accepts nothing more.
        """
        if self._failure is None:
            self.checkpoint(truncate=is_idle and self.wal_bytes > WAL_LIMIT_BYTES)

    def checkpoint(self, *, truncate: bool = False) -> bool:
        """Copy the WAL into the file, as far as readers allow.

        Args:
            truncate: Also empty the WAL; this fails while a reader uses it.

        Returns:
            Whether all of it was copied, and emptied where that was asked for.

        Raises:
            StoreFailedError: The disk failed. The store accepts nothing more.
        """
        mode = "TRUNCATE" if truncate else "PASSIVE"
        try:
            row: tuple[int, int, int] = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as error:
            failure = self._translated(error)
            if isinstance(failure, StoreFullError | StoreBusyError):  # the WAL keeps everything until it works
                _logger.warning("a checkpoint has to wait: %s", failure)
                return False
            raise failure from error
        self._checkpointed_changes = self._connection.total_changes
        self._transaction.blob_bytes = 0
        self._watch_wal()
        busy, pages, copied = row
        is_complete = busy == 0 and pages == copied
        self._next_cut = 0.0 if is_complete else monotonic() + _CUT_PAUSE_S
        return is_complete

    def integrity_problems(self) -> list[str]:
        """Let SQLite check the whole file; slow, for operators and tests.

        Returns:
            What is wrong, one text for each problem.

        Raises:
            StoreError: The check itself failed.
        """

        def look(reader: Reader) -> list[str]:
            assert isinstance(reader, SqliteReader)
            return [row[0] for row in reader.connection.execute("PRAGMA integrity_check")]

        return [problem for problem in self.read(look) if problem != "ok"]

    @property
    def wal_bytes(self) -> int:
        """Size of the write-ahead log's file."""
        try:
            return os.stat(self.path + "-wal").st_size
        except FileNotFoundError:
            return 0

    # ---- opening and closing

    @property
    def failure(self) -> StoreError | None:
        """Why nothing is accepted any more; None while the store works."""
        return self._failure

    def reopen(self) -> None:
        """Try to get a failed store to work again, once its disk does: close it, open it, and sync everything.

        What survived of the last transaction is then durable: look at the store as after a crash.

        Raises:
            StoreError: It still does not work; the store stays failed.
        """
        if self._find_file() != self._file_id:  # opening would make an empty one, and close the last way to this one
            raise self._gone()
        self._close_connections()
        try:
            self._connection, self._transaction = self._open()
            self._failure = None
            if not self.checkpoint(truncate=True):
                raise StoreBusyError(f"The log of {self.path} cannot be copied: another process reads it.")
        except StoreError as error:
            self._failure = error
            raise

    @override
    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if os.getpid() == self._pid:
            self._close_connections()

    def _open(self) -> tuple[sqlite3.Connection, SqliteTransaction]:
        connection = open_writer(self.path, busy_timeout_s=self._busy_timeout_s)
        try:
            migrate(connection, self.path)
            check_side_files(self.path)
            connection.execute(f"PRAGMA busy_timeout = {_BEGIN_TIMEOUT_MS}")
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error):
                raise translated(error, self.path) from error
            raise
        return connection, SqliteTransaction(connection, self.path, self._translated)

    def _find_file(self) -> tuple[int, int] | None:
        """Give what tells the file at our path from all others; None if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _gone(self) -> StoreError:
        return StoreLocationError(
            f"{self.path} was deleted, moved or replaced while it was in use.",
            path=self.path,
            hint="What is stored now would be lost. Stop the processes that use it, put the file back if it is wanted,"
            " and start them again.",
        )

    def _close_connections(self) -> None:
        with self._readers_lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.connection.close()
        self._connection.close()

    def _take_reader(self) -> SqliteReader:
        self._check_usable()
        with self._readers_lock:
            if self._readers:
                return self._readers.pop()
        return SqliteReader(open_reader(self.path, busy_timeout_s=self._busy_timeout_s), self.path)

    def _give_back(self, reader: SqliteReader) -> None:
        reader.forget()
        try:
            if reader.connection.in_transaction:
                reader.connection.execute("ROLLBACK")
        except sqlite3.Error:
            _logger.warning("a reader of %s could not end its transaction; closing it", self.path, exc_info=True)
        else:
            with self._readers_lock:
                if len(self._readers) < _MAX_IDLE_READERS and not self._is_closed:
                    self._readers.append(reader)
                    return
        reader.connection.close()

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise StoreForkedError(
                f"{self.path} was opened by the process {self._pid}, before a fork.", hint="Open it after the fork."
            )
        if self._is_closed:
            raise StoreError(f"The store {self.path} is closed.")
        if self._failure is not None:
            raise StoreFailedError(f"{self.path} accepts nothing any more: {self._failure}") from self._failure

    def _check_epoch(self, epoch: int) -> None:
        current: int = self._connection.execute(SQL["epoch"]).fetchone()[0]
        if current != epoch:
            self._connection.execute("ROLLBACK")
            raise StoreFencedError(
                f"Another engine drives {self.path} now.", epoch=epoch, current=current, hint="This one must stop."
            )

    def _translated(self, error: sqlite3.Error) -> StoreError:
        found = translated(error, self.path)
        if isinstance(found, StoreFailedError | StoreCorruptError):
            self._failure = found
        return found

    def _watch_wal(self) -> None:
        size = self.wal_bytes
        self.is_wal_long = size > WAL_LIMIT_BYTES
        if size > _WAL_WARNING_BYTES and not self._has_warned_of_wal:
            _logger.warning("the log of %s has %d MiB: some reader has kept it open for long", self.path, size >> 20)
        self._has_warned_of_wal = size > _WAL_WARNING_BYTES
