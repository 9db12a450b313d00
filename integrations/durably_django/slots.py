"""How many database connections the handlers of one process hold at once.

Owns the slots. The threads of `def` handlers are many, because most of them wait; a PostgreSQL server has few
connections. So a thread that runs a handler or a step takes a slot when it opens its first connection, and gives it
back when its connections are closed. While no slot is free it waits, and after `PATIENCE_S` gives up: the attempt
fails and is tried again, so that handlers which wait for each other in their steps come apart.

| thread | takes |
|---|---|
| of a `def` handler, or of one of its steps | a slot of `slots` |
| of the outbox's relay | the same |
| the one that asynchronous handlers share | the only slot of `shared_slot` |
| of a web request | nothing: the web server bounds them |

A PostgreSQL server counts a connection until its process for it has ended, which is after it was closed here. A slot
is not free before that.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, connections

__all__ = ["DEFAULT_SIZE", "PATIENCE_S", "ConnectionSlots", "shared_slot", "slots"]

DEFAULT_SIZE: Final = 8
PATIENCE_S: Final = 30.0
"""As long as a pool of psycopg lets its callers wait."""

_LOOK_AGAIN_S: Final = 0.002
_LONGEST_LEAVING_S: Final = 5.0  # a server that does not hang up by then is not waited for


class _Thread(threading.local):
    """What a thread has: a slot, blocks that count its connections, and what ends the counting."""

    has_slot: bool = False
    depth: int = 0
    unwrap: tuple[Callable[[], None], ...] = ()


class ConnectionSlots:
    """Slots of threads that open connections.

    Attributes:
        size: How many threads may have connections at once.
    """

    def __init__(self, size: int) -> None:
        """Let `size` threads, 1 or more, have connections at once."""
        self.size: int = size
        self._taken = 0
        self._leaving: list[tuple[float, int]] = []
        self._changed = threading.Condition()
        self._mine = _Thread()

    def resize(self, size: int) -> None:
        """Change the number, 1 or more; slots that are taken stay so."""
        with self._changed:
            self.size = size
            self._changed.notify_all()

    def begin(self) -> None:
        """Count the connections that this thread opens from now on; may be called again before the `end`."""
        mine = self._mine
        mine.depth += 1
        if mine.depth == 1:
            mine.unwrap = tuple(_wrap(each, self) for each in connections.all())

    def end(self) -> None:
        """Close this thread's connections, but none in an atomic block; and count no more with the last `end`."""
        mine = self._mine
        self.close()
        mine.depth -= 1
        if not mine.depth:
            for unwrap in mine.unwrap:
                unwrap()
            mine.unwrap = ()

    @contextmanager
    def counting(self) -> Generator[None, None, None]:
        """Count within a block, and close at its end."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def close(self) -> None:
        """Close this thread's connections, but none in an atomic block; gives back its slot if none is left."""
        mine, is_one_left = self._mine, False
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                is_one_left = True
                continue
            left = _watch(connection) if mine.has_slot else None
            connection.close()
            if left is not None:
                with self._changed:
                    self._count_leaving()
                    self._leaving.append((time.monotonic(), left))
        if mine.has_slot and not is_one_left:
            mine.has_slot = False
            with self._changed:
                self._taken -= 1
                self._changed.notify()

    @property
    def is_any_taken(self) -> bool:
        """Whether some thread has a slot, and so a connection."""
        return self._taken > 0

    @property
    def is_counting(self) -> bool:
        """Whether this thread's connections are counted here."""
        return self._mine.depth > 0

    def take(self) -> None:
        """Take a slot for this thread, unless it has one.

        Raises:
            OperationalError: None has become free in time.
        """
        if self._mine.has_slot:
            return
        deadline_s = time.monotonic() + PATIENCE_S
        with self._changed:
            while self._taken + self._count_leaving() >= self.size:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise OperationalError(
                        f"All {self.size} connections that handlers of this process may hold are in use, and none was"
                        f" given back for {PATIENCE_S:g} seconds. Do not call other handlers from within a step, or"
                        ' raise DURABLY["MAX_CONNECTIONS"].'
                    )
                self._changed.wait(_LOOK_AGAIN_S if self._leaving else left_s)
            self._taken += 1
        self._mine.has_slot = True

    def give_back(self) -> None:
        """Give back this thread's slot: nothing was opened."""
        if self._mine.has_slot and not any(each.connection for each in connections.all(initialized_only=True)):
            self.close()

    def _count_leaving(self) -> int:
        """Count the closed connections whose server's process has not ended; those of others are forgotten."""
        earliest_s = time.monotonic() - _LONGEST_LEAVING_S
        still: list[tuple[float, int]] = []
        for closed_s, watched in self._leaving:
            if closed_s > earliest_s and not _has_ended(watched):
                still.append((closed_s, watched))
            else:
                os.close(watched)
        self._leaving = still
        return len(still)


def _wrap(connection: Any, taken_from: ConnectionSlots) -> Callable[[], None]:
    """Let a connection of this thread take a slot before it is opened; gives what ends that."""

    def connect() -> None:
        taken_from.take()
        try:
            connection.__class__.connect(connection)
        except BaseException:
            taken_from.give_back()
            raise

    connection.connect = connect
    return lambda: connection.__dict__.pop("connect", None)


def _watch(connection: Any) -> int | None:
    """Keep an eye on the other end of a connection that is about to be closed; None where nobody counts them.

    Gives a descriptor of its socket, which stays open after it.
    """
    if connection.vendor != "postgresql" or connection.connection is None:
        return None
    if connection.settings_dict["OPTIONS"].get("pool"):
        return None  # which keeps it open, and has a bound of its own
    try:
        watched = os.dup(connection.connection.fileno())
    except Exception:  # the connection is broken: the driver says so in its own way
        return None
    os.set_blocking(watched, False)
    return watched


def _has_ended(watched: int) -> bool:
    try:
        while os.read(watched, 4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


slots: Final = ConnectionSlots(DEFAULT_SIZE)
"""Of the threads of `def` handlers and the relay."""

shared_slot: Final = ConnectionSlots(1)
"""Of the thread that asynchronous handlers share."""
