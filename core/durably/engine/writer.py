"""The thread that waits for the disk, so that the event loop does not.

Owns the thread: jobs go in from the event loop, one at a time, and end on this thread. While a job waits for the disk
the interpreter runs the loop. A hop there and back costs two wake-ups of a processor, which is most of its price; what
is around them is kept small.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Upkeep", "Writer"]

_JOIN_INTERVAL_S: Final = 0.001  # between two looks whether the thread has ended; it ends at once


class Upkeep(Protocol):
    """What a store in a file needs between transactions; see `SqliteStore`."""

    @property
    def is_wal_long(self) -> bool:
        """Whether something was left to do when nothing is stored; cheap."""
        ...

    def is_due(self, *, is_idle: bool) -> bool:
        """Tell whether `maintain` has something to do; cheap."""
        ...

    def maintain(self, *, is_idle: bool) -> None:
        """Do it; takes milliseconds.

        Raises:
            StoreError: Nothing can be stored any more.
        """
        ...


class Writer:
    """One thread with a queue of jobs."""

    def __init__(self) -> None:
        """Prepare; `start` starts the thread."""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name="durably-writer", daemon=True)
        self.put: Callable[[Callable[[], None]], None] = self._jobs.put
        """Have a job done, which must not raise."""

    def start(self) -> None:
        """Begin with the jobs."""
        self._thread.start()

    def stop(self) -> None:
        """End after the jobs that were put; none may be put any more."""
        self._jobs.put(None)

    async def join(self) -> None:
        """Wait for the end after `stop`."""
        while self._thread.is_alive():  # noqa: ASYNC110 - threads set no events of a loop
            # Not in an executor: at the end of the interpreter, in an `atexit` function, those take no more work.
            await asyncio.sleep(_JOIN_INTERVAL_S)


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
