"""The secret of an application that was given none: a random file beside its database.

Owns making and reading it. All processes on one database must sign alike, also when they start at the same moment;
so the file appears under its name complete, or not at all. It is for its owner only, and never behind a symbolic link.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from durably.errors import ConfigurationError

__all__ = ["read_or_make_secret", "secret_path"]

_BYTES: Final = 32
_MIN_CHARS: Final = 32
_MAX_CHARS: Final = 4096
_HINT: Final = "Set secret_key, or remove the file: addresses of results that were given out end with it."


def secret_path(database: str) -> Path:
    """Give where the secret of a database stands."""
    return Path(f"{os.path.realpath(database)}-secret")


def read_or_make_secret(path: Path) -> bytes:
    """Give the secret in `path`, which is made if there is none. Several processes may do this at once.

    Raises:
        ConfigurationError: The file cannot be made or read, others may read it, or it is no file.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    try:
        _make(path)
        return _read(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}.", hint="Set secret_key.") from error


def _make(path: Path) -> None:
    """Write a new file under another name, and give it its name unless somebody else was faster."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(secrets.token_urlsafe(_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)


def _read(path: Path) -> bytes:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise ConfigurationError(f"{path} {reason}.", hint=_HINT) from error
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"{path} is no regular file.", hint=_HINT)
        if status.st_uid != os.geteuid():
            raise ConfigurationError(f"{path} belongs to another user.", hint=_HINT)
        if status.st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others.", hint=f"Run: chmod 600 {path}")
        secret = file.read(_MAX_CHARS).strip()
    if len(secret) < _MIN_CHARS:
        raise ConfigurationError(f"{path} holds no secret.", hint=_HINT)
    return secret
