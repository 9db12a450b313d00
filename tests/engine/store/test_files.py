"""Where the engine's file may be, and who may have put it there."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from durably.engine.store.files import check_side_files, prepare_file
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreLocationError


def refused(path: Path) -> StoreLocationError:
    """Prepare a file that must be refused, and look that nothing was left behind."""
    before = sorted(os.listdir(path.parent)) if path.parent.is_dir() else []
    with pytest.raises(StoreLocationError) as caught:
        prepare_file(str(path))
    assert (sorted(os.listdir(path.parent)) if path.parent.is_dir() else []) == before
    return caught.value


def mode_of(path: Path) -> int:
    """Give the permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private(tmp_path: Path):
    """The file and what SQLite puts beside it are for their owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        store = SqliteStore(str(tmp_path / "engine.db"))
        store.begin()
        modes = {path.name: mode_of(path) for path in tmp_path.iterdir()}
        store.rollback()
        store.close()
    finally:
        os.umask(before)
    assert set(modes) == {"engine.db", "engine.db-wal", "engine.db-shm"}
    assert set(modes.values()) == {0o600}


def test_an_open_file_is_closed_to_others(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A file that others could read is made private, and the log says so."""
    path = tmp_path / "engine.db"
    path.touch(0o644)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING, "durably.engine.store"):
        prepare_file(str(path))
    assert mode_of(path) == 0o600
    assert "open to other users" in caplog.text


def test_a_symbolic_link_is_refused(tmp_path: Path):
    """Neither the file nor a side file may be a link; a link among the directories above is resolved."""
    target = tmp_path / "target.db"
    target.touch(0o600)
    (tmp_path / "engine.db").symlink_to(target)
    assert "symbolic link" in refused(tmp_path / "engine.db").message
    (tmp_path / "dangling.db").symlink_to(tmp_path / "nowhere")
    assert "symbolic link" in refused(tmp_path / "dangling.db").message
    (tmp_path / "other.db-wal").symlink_to(target)
    assert "symbolic link" in refused(tmp_path / "other.db").message
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    assert prepare_file(str(tmp_path / "alias" / "engine.db")) == str(tmp_path / "real" / "engine.db")


def test_a_hard_link_is_refused(tmp_path: Path):
    """A file with a second name is refused: SQLite would keep two logs for it."""
    path = tmp_path / "engine.db"
    path.touch(0o600)
    os.link(path, tmp_path / "other.db")
    assert "hard links" in refused(path).message


def test_what_is_no_file_is_refused(tmp_path: Path):
    """A directory, a pipe, and a path without a name are no place for a store."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "folder").message
    assert "not a regular file" in refused(tmp_path / "pipe").message
    with pytest.raises(StoreLocationError, match="names no file"):
        prepare_file("/")


def test_the_directory_must_be_there_and_be_safe(tmp_path: Path):
    """A missing directory, one that is a file, and one that everybody may write are refused; a sticky one is not."""
    assert refused(tmp_path / "missing" / "engine.db").path == str(tmp_path / "missing")
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "engine.db")
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o777)
    assert "chmod o-w" in str(refused(public / "engine.db"))
    public.chmod(0o1777)
    prepare_file(str(public / "engine.db"))


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that belongs to somebody else is not opened, and neither is one beside it."""
    path = tmp_path / "engine.db"
    path.touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "belongs to the user" in refused(path).message
    path.rename(tmp_path / "engine.db-wal")
    with pytest.raises(StoreLocationError, match="belongs to the user"):
        check_side_files(str(path))


def test_a_read_only_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file that cannot be written is refused when it is opened, not at the first request."""
    path = tmp_path / "engine.db"
    path.touch(0o400)
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write everything
    assert "read-only" in refused(path).message


def test_a_directory_that_takes_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the system says when the file cannot be created is in the error."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in refused(tmp_path / "engine.db").message
