"""The lock that decides who drives a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from durably.engine.lease import DriverLock
from durably.errors import StoreForkedError, StoreLocationError


def test_a_lock_has_one_holder(tmp_path: Path):
    """A second lock on the same store waits until the first is given back."""
    path = str(tmp_path / "x.db")
    first, second = DriverLock(path), DriverLock(path)
    assert first.try_acquire()
    assert first.try_acquire()
    assert not second.try_acquire()
    first.close()
    assert second.try_acquire()
    second.close()
    second.close()


def test_a_forked_process_neither_holds_nor_frees_the_lock(tmp_path: Path):
    """The child of a fork cannot use its parent's lock, and its end leaves it with the parent."""
    path = str(tmp_path / "x.db")
    first, second = DriverLock(path), DriverLock(path)
    assert first.try_acquire()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            first.try_acquire()
        except StoreForkedError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not second.try_acquire()
    first.close()
    second.close()


def test_a_lock_file_of_others_is_refused(tmp_path: Path):
    """A symbolic link in the place of the lock file is not followed."""
    (tmp_path / "target").write_text("")
    (tmp_path / "x.db-lock").symlink_to(tmp_path / "target")
    with pytest.raises(StoreLocationError):
        DriverLock(str(tmp_path / "x.db"))
