"""Reports an event loop that a handler blocks: which handler, which invocation, where, for how long.

Owns one sampling thread per process and one `LoopWatchdog` per event loop. Nothing is measured per step: the
thread asks the loop to answer a heartbeat while attempts are open on it, and looks at the loop's thread only
when the answer is late.

What a driver does:

    watchdog = watchdog_of_running_loop()
    watchdog.enter(attempt)          # once, when an attempt starts; `attempt` is any `Watched`
    try:
        ...
    finally:
        watchdog.leave(attempt)      # once, when it ends

    watchdog.current = attempt       # optional, around a step that runs the handler's code by hand
    watchdog.current = None

A late heartbeat is put down to `current`, or else to the attempt that `owns` the task that is running. If neither
says so, the block is the host application's own and nothing is logged. Code that holds the interpreter lock while
it blocks is seen only after it lets go. Handlers in threads never block the loop, so they are never reported.

Source: ours, docs/design.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from datetime import timedelta
from types import FrameType
from typing import Any, Final, Protocol

__all__ = ["DEFAULT_THRESHOLD", "LoopWatchdog", "Watched", "set_threshold", "watchdog_of_running_loop"]

DEFAULT_THRESHOLD: Final = timedelta(seconds=1)
_BEATS_PER_THRESHOLD: Final = 4  # a block of 1.25 thresholds is surely seen, one of less than 1 never reported
_STACK_LINES_LIMIT: Final = 30  # frames; deeper ones are cut at the outer end

_logger = logging.getLogger(__name__)


class Watched(Protocol):
    """An attempt as the watchdog sees it. Both methods are called from the sampling thread, and only on a block."""

    def describe(self) -> str:
        """Name the handler and the invocation, for example `Greeter/greet inv_1abc`."""
        ...

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether `task` runs this attempt's handler, or a part of it."""
        ...


class LoopWatchdog:
    """The open attempts of one event loop, and its heartbeat.

    Attributes:
        current: The attempt whose code is being stepped right now, or None. Assigned by drivers.
    """

    __slots__ = ("__weakref__", "_beat_sent_s", "_loop", "_open", "_reported", "_thread_id", "current")

    def __init__(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        """Watch `loop`, which runs in the thread with that identifier."""
        self.current: Watched | None = None
        self._loop = loop
        self._thread_id = thread_id
        self._open: dict[int, Watched] = {}
        self._beat_sent_s: float | None = None
        self._reported: str | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that is watched."""
        return self._loop

    @property
    def open_attempts(self) -> int:
        """How many attempts entered and did not leave."""
        return len(self._open)

    def enter(self, attempt: Watched) -> None:
        """Start to watch the loop on behalf of `attempt`. Call `leave` with the same object afterwards."""
        self._open[id(attempt)] = attempt
        if not _sampler.is_armed:
            _sampler.arm()

    def leave(self, attempt: Watched) -> None:
        """Stop watching on behalf of `attempt`. Doing it twice is harmless."""
        self._open.pop(id(attempt), None)
        if self.current is attempt:
            self.current = None

    def sample(self, now_s: float, threshold_s: float) -> bool:
        """Check the last heartbeat and send the next one. For the sampling thread.

        Args:
            now_s: Monotonic seconds.
            threshold_s: A heartbeat unanswered for at least that long is reported, once.

        Returns:
            False when there is nothing to watch any more.
        """
        if self._loop.is_closed() or not self._open:
            self._beat_sent_s = None
            return False
        sent_s = self._beat_sent_s
        if sent_s is None:
            self._beat_sent_s = now_s
            try:
                self._loop.call_soon_threadsafe(self._answer_beat)
            except RuntimeError:  # closed between the check and the call
                self._beat_sent_s = None
                return False
        elif now_s - sent_s >= threshold_s and self._reported is None:
            self._report(now_s - sent_s)
        return True

    def _answer_beat(self) -> None:
        sent_s, self._beat_sent_s = self._beat_sent_s, None
        reported, self._reported = self._reported, None
        if reported is not None and sent_s is not None:
            _logger.warning(
                "Event loop free again after %.1f s; it was blocked by %s.", time.monotonic() - sent_s, reported
            )

    def _report(self, elapsed_s: float) -> None:
        culprit = self._culprit()
        frame = sys._current_frames().get(self._thread_id)  # pyright: ignore[reportPrivateUsage] # the documented way
        if culprit is None or frame is None or self._beat_sent_s is None:
            return
        self._reported = culprit.describe()
        _logger.warning(
            "Event loop blocked for %.1f s by handler %s. Nothing else on this loop runs meanwhile. Make the handler"
            " a plain `def`, or move the blocking call to `asyncio.to_thread`. It is here:\n%s",
            elapsed_s,
            self._reported,
            _stack_text(frame),
        )

    def _culprit(self) -> Watched | None:
        current = self.current
        if current is not None:
            return current
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        return next((attempt for attempt in list(self._open.values()) if attempt.owns(task)), None)


class _Sampler:
    """The sampling thread, asleep while no attempt is open."""

    def __init__(self) -> None:
        self.threshold_s: float | None = DEFAULT_THRESHOLD.total_seconds()
        self.is_armed = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._watchdogs: dict[int, LoopWatchdog] = {}

    def add(self, watchdog: LoopWatchdog) -> None:
        with self._lock:
            self._watchdogs[id(watchdog)] = watchdog

    def arm(self) -> None:
        with self._lock:
            self.is_armed = True
            if self.threshold_s is None:
                return
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="durably-watchdog", daemon=True)
                self._thread.start()

    def forget_threads(self) -> None:
        """After a fork: no thread survived it, and the parent's loops are not ours."""
        self.is_armed = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread = None
        self._watchdogs = {}

    def _run(self) -> None:
        while True:
            threshold_s = self.threshold_s
            if threshold_s is None or not self._sample_all(threshold_s):
                self.is_armed = False
                self._wake.clear()
                # An attempt that entered before `is_armed` fell did not call `arm`: look once more before sleeping.
                if threshold_s is None or not self._sample_all(threshold_s):
                    self._wake.wait()
                self.is_armed = True
            else:
                time.sleep(threshold_s / _BEATS_PER_THRESHOLD)

    def _sample_all(self, threshold_s: float) -> bool:
        with self._lock:
            watchdogs = list(self._watchdogs.values())
        any_open = False
        for watchdog in watchdogs:
            if watchdog.loop.is_closed():
                with self._lock:
                    self._watchdogs.pop(id(watchdog), None)
            elif watchdog.sample(time.monotonic(), threshold_s):
                any_open = True
        return any_open


_sampler = _Sampler()
os.register_at_fork(after_in_child=_sampler.forget_threads)


class _ThreadState(threading.local):
    watchdog: LoopWatchdog | None = None


_of_thread = _ThreadState()


def watchdog_of_running_loop() -> LoopWatchdog:
    """Give the watchdog of the running event loop, made on first use.

    Raises:
        RuntimeError: No event loop runs in this thread.
    """
    loop = asyncio.get_running_loop()
    watchdog = _of_thread.watchdog
    if watchdog is None or watchdog.loop is not loop:
        watchdog = LoopWatchdog(loop, threading.get_ident())
        _of_thread.watchdog = watchdog
        _sampler.add(watchdog)
    return watchdog


def set_threshold(threshold: timedelta | None) -> None:
    """Say how long a handler may block the event loop before that is reported, for the whole process.

    Args:
        threshold: More than zero; None switches the report off. The default is one second.

    Raises:
        ValueError: The threshold is not positive.
    """
    if threshold is not None and threshold <= timedelta(0):
        raise ValueError(f"The watchdog's threshold must be positive, not {threshold!r}.")
    _sampler.threshold_s = None if threshold is None else threshold.total_seconds()
    if threshold is not None and _sampler.is_armed:
        _sampler.arm()


def _stack_text(frame: FrameType) -> str:
    return "".join(traceback.format_list(traceback.extract_stack(frame)[-_STACK_LINES_LIMIT:])).rstrip()
