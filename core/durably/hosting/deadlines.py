"""Time limits that nearly never run out, at the price of an append to a queue.

Owns the limits of one event loop that all have the same length: so the oldest is always the next to run
out, and one timer of the loop is enough for all of them.

Source: ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from types import TracebackType
from typing import Any, Self

__all__ = ["Deadline", "Deadlines", "deadlines_of"]


class Deadline:
    """Cancels a task when it lasts too long; a context manager, which raises `TimeoutError` then."""

    __slots__ = ("_queue", "due_s", "has_passed", "task")

    def __init__(self, queue: Deadlines, task: asyncio.Task[Any]) -> None:
        """Prepare a limit for what `task` does inside the `with` block."""
        self._queue = queue
        self.task: asyncio.Task[Any] | None = task
        self.due_s: float = 0.0
        self.has_passed: bool = False

    def __enter__(self) -> Self:
        """Start to count."""
        self._queue.start(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop counting.

        Raises:
            TimeoutError: The limit cancelled the task, and nobody else did.
        """
        task, self.task = self.task, None
        if self.has_passed and task is not None and task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Deadlines:
    """The limits of one event loop."""

    __slots__ = ("_deadlines", "_has_timer", "_limit_s", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        """Let every limit last `limit_s` seconds."""
        self._loop = loop
        self._limit_s = limit_s
        self._deadlines: deque[Deadline] = deque()
        self._has_timer = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose time counts."""
        return self._loop

    def start(self, deadline: Deadline) -> None:
        """Count from now. Ended ones are dropped when their time comes, or as soon as they are the oldest."""
        waiting = self._deadlines
        while waiting and waiting[0].task is None:
            waiting.popleft()
        deadline.due_s = self._loop.time() + self._limit_s
        waiting.append(deadline)
        if not self._has_timer:
            self._has_timer = True
            self._loop.call_later(self._limit_s, self._look)

    def _look(self) -> None:
        waiting = self._deadlines
        now_s = self._loop.time()
        while waiting and (waiting[0].task is None or waiting[0].due_s <= now_s):
            deadline = waiting.popleft()
            if deadline.task is not None:
                deadline.has_passed = True
                deadline.task.cancel()
        self._has_timer = bool(waiting)
        if waiting:
            self._loop.call_later(waiting[0].due_s - now_s, self._look)


class _OfThread(threading.local):
    deadlines: Deadlines | None = None


_of_thread = _OfThread()


def deadlines_of(loop: asyncio.AbstractEventLoop, limit_s: float) -> Deadlines:
    """Give the limits of `loop`, which runs in this thread; all of them last `limit_s` seconds."""
    deadlines = _of_thread.deadlines
    if deadlines is None or deadlines.loop is not loop:
        deadlines = _of_thread.deadlines = Deadlines(loop, limit_s)
    return deadlines
