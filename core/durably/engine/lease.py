"""Who drives a file: one process at a time, and a new one as soon as that is gone.

Owns the lock and the epoch. The lock is the operating system's, on a file of its own beside the store: the system
gives it back when its holder dies, however it dies, and not before. The epoch is a row in the store that each new
driver raises; every transaction checks it, so that an engine which lost its lock without noticing (a copied
container, a removed lock file) cannot write.

Rules
1. The lock is taken before the store is written, and given back after the last commit.
2. A process that was forked from the holder does not hold it, and its end does not free it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from typing import Final

from durably.engine.records import Lease
from durably.engine.store.connections import BUSY_TIMEOUT_S
from durably.engine.store.contract import Store, Transaction
from durably.errors import StoreBusyError, StoreForkedError, StoreLocationError

if sys.platform != "win32":
    import fcntl

__all__ = ["DriverLock", "begin_patiently", "take_over"]

_SUFFIX: Final = "-lock"
_MODE: Final = 0o600


class DriverLock:
    """The right to drive one store."""

    def __init__(self, store_path: str) -> None:
        """Prepare the lock of a store; nothing is locked yet.

        Args:
            store_path: Of the store's file, absolute.

        Raises:
            StoreLocationError: Its lock file cannot be made, or is not ours.
        """
        self.path: str = store_path + _SUFFIX
        self._pid = os.getpid()
        self._file: int | None = _open(self.path)
        self.is_held: bool = False
        os.register_at_fork(after_in_child=self._forget)

    def try_acquire(self) -> bool:
        """Take it if nobody has it; does not wait.

        Raises:
            StoreForkedError: Another process than this one prepared it.
        """
        if os.getpid() != self._pid:
            raise StoreForkedError("This engine was started before a fork.", hint="Start it after the fork.")
        if self._file is None or self.is_held:
            return self.is_held
        if sys.platform == "win32":  # the epoch alone decides there
            self.is_held = True
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                return False
            raise StoreLocationError(
                f"{self.path} cannot be locked: {error.strerror}.",
                path=self.path,
                hint="Put the store on a local file system.",
            ) from error
        self.is_held = True
        return True

    def close(self) -> None:
        """Give it back. Can be repeated."""
        file, self._file = self._file, None
        self.is_held = False
        if file is not None:
            os.close(file)

    def _forget(self) -> None:
        # Closing here frees nothing: the lock belongs to the open file, which the parent still has.
        file, self._file = self._file, None
        self.is_held = False
        if file is not None:
            with contextlib.suppress(OSError):
                os.close(file)


def begin_patiently(store: Store) -> Transaction:
    """Begin, and wait for another process's lock as long as reading would; not for an event loop.

    Raises:
        StoreBusyError: It kept the lock for longer.
        StoreError: As `Store.begin`.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return store.begin()
        except StoreBusyError:
            if time.monotonic() >= deadline:
                raise


def take_over(transaction: Transaction, *, owner: str, address: str) -> int:
    """Write down who drives the store from now on; give the new epoch."""
    epoch = transaction.lease().epoch + 1
    transaction.put_lease(Lease(epoch, owner, address))
    return epoch


def _open(path: str) -> int:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise StoreLocationError(
            f"The lock file {path} cannot be opened: {error.strerror}.",
            path=path,
            hint="It must be a plain file of the user that the engine runs as.",
        ) from error
    found = os.fstat(file)
    is_ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    if not stat.S_ISREG(found.st_mode) or not is_ours:
        os.close(file)
        raise StoreLocationError(f"The lock file {path} is not a plain file of this user.", path=path)
    return file
