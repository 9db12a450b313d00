"""The secret beside a database: one for all processes, for its owner only."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from durably.errors import ConfigurationError
from durably.web import secret_file
from durably.web.secret_file import read_or_make_secret, secret_path

_ROUNDS = 20


def _read_together(folder: Path, barrier: Any, secrets: Any) -> None:
    for attempt in range(_ROUNDS):
        barrier.wait(20)
        secrets.put((attempt, read_or_make_secret(folder / str(attempt) / "d.db-secret")))


def test_processes_that_start_together_have_one_secret(tmp_path: Path) -> None:
    """Whoever is first decides; nobody sees half of it, and no draft is left."""
    for attempt in range(_ROUNDS):
        (tmp_path / str(attempt)).mkdir()
    spawn = multiprocessing.get_context("spawn")
    barrier, secrets = spawn.Barrier(3), spawn.SimpleQueue()
    workers = [spawn.Process(target=_read_together, args=(tmp_path, barrier, secrets)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = {secrets.get() for _ in range(3 * _ROUNDS)}
    for worker in workers:
        worker.join()
    paths = {attempt: tmp_path / str(attempt) / "d.db-secret" for attempt in range(_ROUNDS)}
    assert found == {(attempt, read_or_make_secret(path)) for attempt, path in paths.items()}
    assert {path for folder in tmp_path.iterdir() for path in folder.iterdir()} == set(paths.values())


def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    """0600, whatever the umask; 256 random bits; the same on each start."""
    before = os.umask(0)
    try:
        one, other = tmp_path / "one", tmp_path / "other"
        assert read_or_make_secret(one) == read_or_make_secret(one)
        assert read_or_make_secret(one) != read_or_make_secret(other)
    finally:
        os.umask(before)
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    assert len(read_or_make_secret(one)) == 43


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_one_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The text says how to mend it."""
    path = tmp_path / "secret"
    read_or_make_secret(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"read by others.*chmod 600"):
        read_or_make_secret(path)


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_refused(tmp_path: Path, exists: bool) -> None:
    """Whoever may write the folder could point it at another file, or have one made elsewhere."""
    path, elsewhere = tmp_path / "secret", tmp_path / "elsewhere"
    if exists:
        read_or_make_secret(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="symbolic link"):
        read_or_make_secret(path)
    assert elsewhere.exists() is exists


def test_what_is_no_secret_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe, an empty or a short file: it is neither used nor overwritten."""
    for name in ("folder", "pipe", "empty", "short"):
        path = tmp_path / name
        match name:
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path, 0o600)
            case _:
                path.write_text("x" * 10 if name == "short" else "")
                path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=r"no regular file|holds no secret|cannot be read"):
            read_or_make_secret(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner could read and change it."""
    path = tmp_path / "secret"
    read_or_make_secret(path)
    monkeypatch.setattr(secret_file.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="another user"):
        read_or_make_secret(path)


def test_where_it_cannot_be_made_the_setting_is_named(tmp_path: Path) -> None:
    """A folder that is not there, for example."""
    with pytest.raises(ConfigurationError, match=r"cannot be made: .*Set secret_key"):
        read_or_make_secret(tmp_path / "missing" / "secret")


def test_it_stands_beside_the_real_database(tmp_path: Path) -> None:
    """Processes that reach one database by different names share its secret."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert secret_path(str(tmp_path / "link" / "d.db")) == secret_path(str(tmp_path / "data" / "d.db"))
    assert secret_path(str(tmp_path / "data" / "d.db")).name == "d.db-secret"
