"""The engine's file on the disk: who may own it, who may read it, where it may be.

Owns what is checked before SQLite sees a path. Journals hold payloads of other people, so the file
belongs to one user and nobody else reads it; and nobody else can have put it there, as a symbolic
or a hard link to something, or as a prepared side file.

Rules
    1. The directory exists, others may not write it (unless it is sticky, as /tmp is).
    2. The file and its side files (`-wal`, `-shm`, `-journal`) are regular, have one name, and are ours.
    3. A new file gets mode 0600 before its first byte; an old one that others can read is closed to them.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from typing import Final

from durably.engine.store.filesystems import check_file_system, magic_of
from durably.errors import StoreLocationError

__all__ = ["FILE_MODE", "SIDE_FILES", "check_side_files", "prepare_file"]

_logger = logging.getLogger("durably.engine.store")

FILE_MODE: Final = 0o600
SIDE_FILES: Final = ("-wal", "-shm", "-journal")


def prepare_file(path: str, *, magic: Callable[[str], int | None] = magic_of) -> str:
    """Check where the file is, and create it empty if it is not there.

    Args:
        path: As configured; relative to the working directory.
        magic: Tells the kind of file system.

    Returns:
        The absolute path, free of symbolic links.

    Raises:
        StoreLocationError: It cannot be kept safely there. Nothing was changed.
    """
    parent, name = os.path.split(os.path.abspath(path))
    directory = os.path.realpath(parent)
    if not name:
        raise StoreLocationError(f"{path!r} names no file.", path=path)
    _check_directory(directory)
    check_file_system(directory, magic)
    real = os.path.join(directory, name)
    check_side_files(real)
    _create_or_check(real)
    return real


def check_side_files(path: str) -> None:
    """Refuse side files that someone else put beside the file.

    Raises:
        StoreLocationError: One is a link, or is not ours.
    """
    for suffix in SIDE_FILES:
        try:
            found = os.lstat(path + suffix)
        except FileNotFoundError:
            continue
        _check_status(path + suffix, found)


def _check_directory(directory: str) -> None:
    try:
        found = os.stat(directory)
    except OSError as error:
        raise StoreLocationError(
            f"The directory {directory} cannot be used: {error.strerror}.",
            path=directory,
            hint="Create it, or name another one in the engine's url.",
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise StoreLocationError(f"{directory} is not a directory.", path=directory)
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise StoreLocationError(
            f"Everybody may write to the directory {directory}, so anybody could replace the engine's file.",
            path=directory,
            hint=f"Run: chmod o-w {directory}",
        )


def _create_or_check(path: str) -> None:
    # An existing file is looked at by name and never opened here: closing a descriptor drops every POSIX
    # lock that the process holds on the file, those of another SQLite connection too.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, FILE_MODE))
    except FileExistsError:
        _check_existing(path)
    except OSError as error:
        raise _unusable(path, error.strerror) from error


def _check_existing(path: str) -> None:
    found = os.lstat(path)
    _check_status(path, found)
    mode = stat.S_IMODE(found.st_mode)
    if mode & ~FILE_MODE:
        _logger.warning("%s was open to other users (mode %o): closing it to them", path, mode)
        try:
            os.chmod(path, mode & FILE_MODE)
        except OSError as error:
            raise _unusable(path, error.strerror) from error
    if not os.access(path, os.R_OK | os.W_OK):
        raise _unusable(path, "it is read-only")


def _unusable(path: str, reason: str | None) -> StoreLocationError:
    return StoreLocationError(
        f"{path} cannot be written: {reason}.",
        path=path,
        hint="The engine writes the file and its directory.",
    )


def _check_status(path: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise _link_error(path)
    if not stat.S_ISREG(found.st_mode):
        raise StoreLocationError(f"{path} is not a regular file.", path=path)
    if found.st_uid != os.geteuid():
        raise StoreLocationError(
            f"{path} belongs to the user with id {found.st_uid}; this process runs as {os.geteuid()}.",
            path=path,
            hint="Run the engine as the owner of the file, or give it a file of its own.",
        )
    if found.st_nlink > 1:
        raise StoreLocationError(
            f"{path} has {found.st_nlink} names (hard links): SQLite cannot protect it from its other name.",
            path=path,
            hint="Remove the other name, or copy the file.",
        )


def _link_error(path: str) -> StoreLocationError:
    return StoreLocationError(
        f"{path} is a symbolic link.", path=path, hint="Name the file that it points to in the engine's url."
    )
