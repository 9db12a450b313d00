"""A bounded pool of daemon threads for `def` handlers.

Owns the threads and the queue before them. The standard executor is not used because it joins its threads when the
interpreter ends: one handler in a long call would keep a stopped server alive.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["ThreadPool"]

_IDLE_LIMIT_S: Final = 60.0  # an unused thread ends after this

_logger = logging.getLogger(__name__)

Job = Callable[[], None]


class ThreadPool:
    """Runs jobs in at most `size` threads, in the order given; threads are reused and end when unused for a minute."""

    def __init__(self, size: int, name: str) -> None:
        """Make an empty pool; threads start when jobs come. `name` begins the threads' names."""
        self._size = size
        self._name = name
        self._forget()

    @property
    def size(self) -> int:
        """The most threads at once."""
        return self._size

    @property
    def thread_count(self) -> int:
        """How many threads exist, idle ones included."""
        return self._threads

    @property
    def idle(self) -> int:
        """How many threads wait for a job."""
        return self._idle

    @property
    def queued(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._jobs)

    def submit(self, job: Job) -> bool:
        """Run `job` in a thread as soon as one is free.

        Args:
            job: Should not raise; what it raises is logged.

        Returns:
            False if all threads are busy, so that the job queues.
        """
        if self._process_id != os.getpid():  # no thread survives a fork
            self._forget()
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
                return True
            if self._threads >= self._size:
                return False
            self._threads += 1
            self._started += 1
            number = self._started
        threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
        return True

    def _forget(self) -> None:
        self._process_id = os.getpid()
        self._changed = threading.Condition(threading.Lock())
        self._jobs: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self._started = 0

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                job()
            except BaseException:  # even SystemExit: a job must not take its thread away from the others
                _logger.exception("A job of the pool %s failed.", self._name)
            del job  # an idle thread must not keep the last attempt alive

    def _next_job(self) -> Job | None:
        """Give the next job, or None when this thread was idle for too long and was taken out of the count."""
        with self._changed:
            deadline_s = time.monotonic() + _IDLE_LIMIT_S
            while not self._jobs:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    self._threads -= 1
                    return None
                self._idle += 1
                self._changed.wait(left_s)
                self._idle -= 1
            return self._jobs.popleft()
