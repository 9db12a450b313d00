"""The life of a store's file: other processes, forks, damage, readers that stay, and starting again."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from durably.engine.records import Lease
from durably.engine.store import sqlite as store_module
from durably.engine.store.contract import Reader
from durably.engine.store.sqlite import SqliteStore
from durably.errors import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFailedError,
    StoreForkedError,
    StoreLocationError,
)
from tests.engine.store.samples import everything, invocation
from tests.engine.store.workload import check, run

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    made = SqliteStore(str(tmp_path / "engine.db"))
    yield made
    made.close()


def write(store: SqliteStore, number: int = 1) -> None:
    """Store one transaction of the workload."""
    run(store, 1, 0, lambda _: None, number)


def test_what_is_stored_outlives_the_store(store: SqliteStore):
    """A store opened again holds what the first one held."""
    write(store)
    before = store.read(everything)
    store.close()
    again = SqliteStore(store.path)
    assert again.read(everything) == before
    again.close()
    assert check(store.path, 1, 0) == 1


# ---- other processes


def test_another_writer_is_waited_for_only_a_moment(store: SqliteStore):
    """While another process writes, beginning fails at once and reading works; then beginning works again."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StoreBusyError):
        store.begin()
    assert time.monotonic() - began < 0.5
    assert store.read(lambda reader: reader.lease()) == Lease()
    other.execute("ROLLBACK")
    write(store)
    other.close()


def test_a_short_write_of_another_is_not_noticed(store: SqliteStore):
    """A commit of some milliseconds elsewhere does not make beginning fail."""
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.005, other.execute, ["ROLLBACK"]).start()
    write(store)
    other.close()


def test_a_locked_file_is_not_opened(store: SqliteStore):
    """Opening waits for the lock as long as it is told to, then says who might have it."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("PRAGMA locking_mode = exclusive")
    store.close()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusyError, match="Another process"):
        SqliteStore(store.path, busy_timeout_s=0.01)
    other.close()
    SqliteStore(store.path).close()


FORK = """
import os, sys
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreForkedError
store = SqliteStore(sys.argv[1])
store.begin(); store.rollback(); store.read(lambda reader: reader.lease())
child = os.fork()
if child == 0:
    refused = 0
    for use in (store.begin, lambda: store.read(lambda reader: reader.lease())):
        try:
            use()
        except StoreForkedError:
            refused += 1
    store.close()
    os._exit(refused)
status = os.waitpid(child, 0)[1]
store.begin().put_state("S", "k", b"n", b"parent")
store.commit()
store.close()
print(os.WEXITSTATUS(status))
"""


def test_a_child_cannot_use_its_parents_store(tmp_path: Path):
    """After a fork the child gets an error for writing and for reading, may close, and the parent goes on."""
    path = str(tmp_path / "engine.db")
    found = subprocess.run([sys.executable, "-c", FORK, path], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "2"
    store = SqliteStore(path)
    assert store.read(lambda reader: reader.state_value("S", "k", b"n")) == b"parent"
    store.close()
    assert issubclass(StoreForkedError, StoreError)


# ---- damage


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_gone_takes_nothing_more(store: SqliteStore, is_replaced: bool):
    """What is stored in a file without a name is lost with the process: a commit fails, and reopening makes no new one.

    Moved back, the file works again.
    """
    store.begin().put_lease(Lease(1, "a", "b"))
    store.commit()
    aside = f"{store.path}.aside"
    Path(store.path).rename(aside)
    if is_replaced:
        Path(store.path).touch()
    store.begin().put_lease(Lease(2, "a", "b"))
    with pytest.raises(StoreLocationError, match="was deleted, moved or replaced"):
        store.commit()
    for refused in (store.begin, store.reopen):
        with pytest.raises(StoreError, match="was deleted, moved or replaced"):
            refused()
    assert Path(store.path).exists() is is_replaced
    Path(aside).rename(store.path)
    store.reopen()
    assert store.read(lambda reader: reader.lease()) == Lease(1, "a", "b")
    store.begin().put_lease(Lease(3, "a", "b"))
    store.commit()


def test_damage_stops_the_store(store: SqliteStore):
    """When a page turns out to be damaged while writing, nothing more is accepted; the error says what to do."""
    for number in range(1, 30):
        write(store, number)
    store.checkpoint(truncate=True)
    store.close()
    content = bytearray(Path(store.path).read_bytes())
    middle = len(content) // 2
    content[middle:] = bytes(len(content) - middle)
    Path(store.path).write_bytes(content)
    damaged = SqliteStore(store.path)
    with pytest.raises(StoreCorruptError, match="damaged"):
        write(damaged, 30)
    damaged.rollback()
    assert isinstance(damaged.failure, StoreCorruptError)
    with pytest.raises(StoreFailedError, match="accepts nothing"):
        damaged.begin()
    assert not damaged.is_due(is_idle=True)
    damaged.close()


def test_a_whole_file_has_no_problems(store: SqliteStore):
    """SQLite's own check finds nothing in a file that the store wrote."""
    write(store)
    assert store.integrity_problems() == []


# ---- the write-ahead log


def test_upkeep_is_due_after_enough_rows(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    """An idle writer copies the log early, a busy one late, and none when nothing was written."""
    monkeypatch.setattr(store_module, "_CHECKPOINT_ROWS", 10)
    monkeypatch.setattr(store_module, "_CHECKPOINT_ROWS_BUSY", 40)
    assert not store.is_due(is_idle=True)
    write(store)
    assert store.is_due(is_idle=True)
    assert not store.is_due(is_idle=False)
    for number in range(2, 6):
        write(store, number)
    assert store.is_due(is_idle=False)
    store.maintain(is_idle=False)
    assert not store.is_due(is_idle=True)


def test_large_payloads_count_for_upkeep(store: SqliteStore):
    """Few rows with much in them make upkeep due as well."""
    transaction = store.begin()
    transaction.put_state("S", "k", b"n", bytes(17 << 20))
    store.commit()
    assert store.is_due(is_idle=False)
    store.maintain(is_idle=False)
    assert not store.is_due(is_idle=False)


def test_a_long_reader_does_not_stop_writers(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """While a reader stays, the log grows with one warning; when it ends, an idle writer cuts the log."""
    monkeypatch.setattr(store_module, "WAL_LIMIT_BYTES", 20_000)
    monkeypatch.setattr(store_module, "_WAL_WARNING_BYTES", 100_000)
    monkeypatch.setattr(store_module, "_CUT_PAUSE_S", 0.0)
    is_reading, may_end = threading.Event(), threading.Event()

    def stay(reader: Reader) -> object:
        first = everything(reader)
        is_reading.set()
        may_end.wait()
        return first == everything(reader)

    same: list[object] = []
    thread = threading.Thread(target=lambda: same.append(store.read(stay)), daemon=True)
    with caplog.at_level(logging.WARNING, "durably.engine.store"):
        thread.start()
        is_reading.wait()
        for number in range(1, 30):
            write(store, number)
            store.maintain(is_idle=True)
            assert store.is_due(is_idle=True) == store.is_wal_long == (store.wal_bytes > 20_000)
    assert store.wal_bytes > 100_000
    assert caplog.text.count("some reader has kept it open") == 1
    may_end.set()
    thread.join()
    assert same == [True]
    assert store.is_due(is_idle=True)
    store.maintain(is_idle=True)
    assert store.wal_bytes == 0


# ---- readers


def test_readers_are_kept(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    """Reading again uses an open connection; more readers at once than are kept close theirs."""
    opened: list[str] = []
    real = store_module.open_reader
    monkeypatch.setattr(store_module, "open_reader", lambda path, **kw: (opened.append(path), real(path, **kw))[1])
    for _ in range(3):
        store.read(everything)
    assert len(opened) == 1
    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=lambda: store.read(lambda _: barrier.wait())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 6
    assert len(store._readers) == 4


def test_a_reader_sees_one_state(store: SqliteStore):
    """Two reads of one piece of work see the same, whatever is committed between them; the next sees the change."""

    def look(reader: Reader) -> tuple[object, object]:
        before = reader.invocation("inv_a")
        thread = threading.Thread(target=insert)
        thread.start()
        thread.join()
        return before, reader.invocation("inv_a")

    def insert() -> None:
        store.begin().insert_invocation(invocation())
        store.commit()

    assert store.read(look) == (None, None)
    assert store.read(lambda reader: reader.invocation("inv_a")) == invocation()


def test_a_store_may_commit_on_another_thread(store: SqliteStore):
    """A transaction begun on one thread is committed on another, and the first can then read."""
    store.begin().insert_invocation(invocation())
    thread = threading.Thread(target=store.commit)
    thread.start()
    thread.join()
    assert store.read(lambda reader: reader.invocation("inv_a")) == invocation()


def test_many_invocations_do_not_stay_in_memory(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    """What is remembered between transactions is bounded, and forgetting changes nothing that is read."""
    monkeypatch.setattr("durably.engine.store.sqlite_writes._REMEMBERED_INVOCATIONS", 5)
    for number in range(1, 30):
        write(store, number)
    assert len(store._transaction._known_invocations) < 20
    assert check_after_close(store) == 29


def check_after_close(store: SqliteStore) -> int:
    """Close a store and check its file."""
    store.close()
    return check(store.path, 29, 0)
