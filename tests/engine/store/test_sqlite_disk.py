"""Disks that fail and disks that are full, at any operation."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from random import Random

import apsw
import pytest

from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreError, StoreFailedError, StoreFullError
from durably.protocol.ids import InvocationId, awakeable_id
from tests.engine.store.recorded_disk import Disk, Image, recorded
from tests.engine.store.workload import check, run

ROOT = Path(__file__).resolve().parents[3]
SEED = 5


def fail_from(disk: Disk, skipped: int, error: type[apsw.Error], times: int) -> None:
    """Let some operations pass from now on, then some fail."""
    first = disk.operations + 1 + skipped

    def hook(_kind: str) -> None:
        if first <= disk.operations < first + times:
            raise error("the disk says no")

    disk.on_operation = hook


def drive(store: SqliteStore, seen: list[int]) -> StoreError | None:
    """Do transactions and checkpoints until the store raises; acknowledged ones are in `seen`."""
    first = (seen[-1] if seen else 0) + 1
    try:
        for number in range(first, first + 8):
            run(store, 1, SEED, seen.append, number)
            if number % 3 == 0:
                store.checkpoint(truncate=number % 2 == 0)
    except StoreError as error:
        store.rollback()
        return error
    return None


@pytest.mark.parametrize("operation", range(0, 150, 6))
def test_an_io_error_stops_the_store(operation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One failing write, cut or sync, and nothing is accepted until the file was opened again; nothing is lost."""
    with recorded(monkeypatch) as disk:
        store = SqliteStore(str(tmp_path / "engine.db"))
        seen: list[int] = []
        fail_from(disk, operation, apsw.IOError, 1)
        error = drive(store, seen)
        assert isinstance(error, StoreFailedError)
        assert store.failure is error
        with pytest.raises(StoreFailedError):
            store.begin()
        disk.on_operation = None
        crashed = disk.save(tmp_path / "crashed", Image.current)
        store.reopen()
        assert store.failure is None
        synced = disk.save(tmp_path / "synced", lambda image: image.durable)
        store.begin()
        store.rollback()
        store.close()
    for path in (crashed, synced):  # whether they hold what failed is unknown, and may differ
        assert check(str(path), len(seen), SEED) - len(seen) in {0, 1}


def test_a_disk_that_still_fails_keeps_the_store_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Opening again only succeeds once everything could be synced."""
    with recorded(monkeypatch) as disk:
        store = SqliteStore(str(tmp_path / "engine.db"))
        seen: list[int] = []
        run(store, 2, SEED, seen.append)
        fail_from(disk, 0, apsw.IOError, 10**6)
        assert isinstance(drive(store, seen), StoreFailedError)
        with pytest.raises(StoreError):
            store.reopen()
        with pytest.raises(StoreError):
            store.begin()
        disk.on_operation = None
        store.reopen()
        run(store, 1, SEED, seen.append, 3)
        store.close()
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("operation", range(0, 150, 10))
def test_a_full_disk_is_waited_for(operation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While there is no space nothing is acknowledged and reads work; with space everything goes on by itself."""
    with recorded(monkeypatch) as disk:
        store = SqliteStore(str(tmp_path / "engine.db"))
        seen: list[int] = []
        fail_from(disk, operation, apsw.FullError, Random(operation).randint(1, 9))
        errors = [drive(store, seen) for _ in range(12)]
        refused = [error for error in errors if error is not None]
        assert [error for error in refused if not isinstance(error, StoreFullError)] == []
        assert store.failure is None
        assert errors[-1] is None
        assert seen == list(range(1, len(seen) + 1))
        disk.on_operation = None
        store.checkpoint()
        path = disk.save(tmp_path / "after", Image.current)
        store.close()
    assert check(str(path), seen[-1], SEED) == seen[-1]


LIMITED = """
import resource, signal, sys
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreError
from tests.engine.store.workload import run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SqliteStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
seen = []
try:
    run(store, 1000, 5, seen.append)
except StoreError as error:
    store.rollback()
    name = type(error).__name__
try:
    store.begin()
    name += " begins"
except StoreError as error:
    name += " " + type(error).__name__
print(len(seen), name)
"""


@pytest.mark.parametrize("limit_kib", [400, 600, 1000])
def test_a_file_that_may_not_grow_loses_nothing(limit_kib: int, tmp_path: Path):
    """With the standard library's SQLite and a real limit of the kernel: the error is typed, and nothing is lost."""
    path = str(tmp_path / "engine.db")
    arguments = [sys.executable, "-c", LIMITED, path, str(limit_kib * 1024)]
    found = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert found[1:] in (["StoreFailedError", "StoreFailedError"], ["StoreFullError", "begins"])
    assert int(found[0]) > 0
    assert check(path, int(found[0]), SEED) == int(found[0])
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_process_whose_disk_failed_says_so_and_ends(tmp_path: Path):
    """After a failed sync nothing is acknowledged; a disk that stays broken ends the stand-alone engine with 75."""
    command = [sys.executable, "-m", "tests.engine.store.failing", "--db", str(tmp_path / "x.db")]
    process = subprocess.Popen(
        [*command, "--ingress-port", "0", "--admin-port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = re.search(r"ingress (http://\S+)", process.stdout.readline())
        assert ready is not None
        (tmp_path / "FAIL").touch()
        awakeable = awakeable_id(InvocationId(1, 2).raw, 17)
        request = urllib.request.Request(f"{ready[1]}/restate/awakeables/{awakeable}/resolve", b"1", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 503
        assert refused.value.headers["retry-after"] == "1"
        refused.value.close()
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 75
    assert "the disk is on fire" in log
