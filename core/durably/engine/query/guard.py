"""Ends a query that takes too much.

Owns the thread that looks at a running query again and again: at the time, and, where the system tells, at what the
process takes of memory and of the disk for temporary files, which grow while a query sorts or collects.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from typing import Final, Self

__all__ = ["Guard"]

_FIRST_LOOK_S: Final = 0.02
_LOOK_S: Final = 0.1
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TEMPORARY: Final = "etilqs_"  # what SQLite calls its temporary files


class Guard:
    """Interrupts a connection's query at its limits. Use it with `with`, around the query.

    Args:
        connection: Whose query.
        seconds: How long it may take.
        space_bytes: How much it may take of memory, and of disk.

    Attributes:
        reason: Why the query was ended, or None.
    """

    def __init__(self, connection: sqlite3.Connection, *, seconds: float, space_bytes: int) -> None:
        """Look at nothing yet."""
        self.reason: str | None = None
        self._connection = connection
        self._seconds = seconds
        self._space_bytes = space_bytes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="durably-query-guard", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking; nothing is interrupted afterwards."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        deadline = time.monotonic() + self._seconds
        memory = _memory_bytes()
        pause = min(_FIRST_LOOK_S, self._seconds)
        while not self._done.wait(pause):
            if time.monotonic() >= deadline:
                self.reason = f"The query took longer than {self._seconds:g} seconds."
            elif _memory_bytes() - memory > self._space_bytes or _temporary_bytes() > self._space_bytes:
                self.reason = "The query needs too much space: let it sort or collect less."
            if self.reason is not None:
                # Looked at within SQLite's loops, however long each of their steps takes.
                self._connection.interrupt()
            pause = min(_LOOK_S, max(deadline - time.monotonic(), _FIRST_LOOK_S))


def _memory_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as status:
            return int(status.read().split()[1]) * _PAGE
    except OSError:  # no Linux
        return 0


def _temporary_bytes() -> int:
    total = 0
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:  # no Linux
        return 0
    for descriptor in descriptors:
        path = f"/proc/self/fd/{descriptor}"
        try:
            if _TEMPORARY in os.readlink(path):
                total += os.stat(path).st_size
        except OSError:  # closed in between
            continue
    return total
