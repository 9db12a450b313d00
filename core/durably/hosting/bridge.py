"""Carries the bytes of one attempt between an event loop and the thread that runs its handler.

Owns the two buffers and their lock. The loop's side never blocks; the thread's side blocks until something can be
done. Nothing here knows the protocol.

| the loop says | the thread sees |
|---|---|
| `feed(data)` | `receive()` returns it, joined with what came meanwhile |
| `feed_eof()`, or `half_close()` of our own accord | `receive()` returns None, once |
| `disconnect()` | `receive()` raises `Disconnected`, always from then on; `send()` drops its data |
| (anyone) `wake()` | `receive()` returns `b""`, once |

After `receive()` returned None it waits for `wake` or `disconnect` only.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from durably.authoring.drivers import Disconnected
from durably.hosting.thread_pool import ThreadPool

__all__ = ["OUTPUT_LIMIT_BYTES", "Bridge"]

OUTPUT_LIMIT_BYTES: Final = 1024 * 1024  # unsent output above which the thread waits for a slow reader


class Bridge:
    """The blocking I/O of one attempt, as `run_sync_attempt` wants it, fed from an event loop.

    Attributes:
        changed: Set on the loop when there is output to take, the thread is done, or the peer went away.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, helpers: ThreadPool) -> None:
        """Connect to `loop`; durable steps that run beside the handler use `helpers`."""
        self.changed: asyncio.Event = asyncio.Event()
        self._loop = loop
        self._helpers = helpers
        self._condition = threading.Condition(threading.Lock())
        self._input: deque[bytes] = deque()
        self._is_eof = False
        self._gave_eof = False
        self._is_woken = False
        self._is_disconnected = False
        self._is_done = False
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._is_signalled = False
        self._waiting_since_s: float | None = None
        self._on_disconnect: Callable[[], None] | None = None

    # The thread's side.

    def send(self, data: bytes) -> None:
        """Hand `data` to the loop; wait only while too much is unsent. Drops it when the peer is gone."""
        with self._condition:
            if self._is_disconnected:
                return
            self._output.append(data)
            self._output_bytes += len(data)
            self._signal()
            while self._output_bytes > OUTPUT_LIMIT_BYTES and not self._is_disconnected:
                self._condition.wait()

    def receive(self) -> bytes | None:
        """Wait for input: bytes, `b""` after a `wake`, or None at the end of the request.

        Raises:
            Disconnected: The peer is gone.
        """
        with self._condition:
            while True:
                if self._is_disconnected:
                    raise Disconnected
                if self._is_woken:
                    self._is_woken = False
                    return b""
                if self._input:
                    data = b"".join(self._input)
                    self._input.clear()
                    return data
                if self._is_eof and not self._gave_eof:
                    self._gave_eof = True
                    return None
                self._waiting_since_s = time.monotonic()
                self._condition.wait()
                self._waiting_since_s = None

    def wake(self) -> None:
        """Make `receive` return `b""`. From any thread."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` in a helper thread, with the caller's context variables."""
        context = contextvars.copy_context()
        self._helpers.submit(lambda: context.run(function))

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the peer goes away; at once if it has gone."""
        with self._condition:
            self._on_disconnect = callback
            is_late = self._is_disconnected
        if is_late:
            callback()

    def finish(self) -> None:
        """Say that the thread is done with this attempt."""
        with self._condition:
            self._is_done = True
            self._signal()

    # The loop's side.

    @property
    def is_disconnected(self) -> bool:
        """The peer is gone."""
        return self._is_disconnected

    @property
    def is_done(self) -> bool:
        """The thread is done; what it sent may still have to be taken."""
        return self._is_done

    @property
    def waiting_since_s(self) -> float | None:
        """Monotonic seconds since when the thread waits for input that may still come; None when it does not."""
        return None if self._gave_eof or self._is_eof else self._waiting_since_s

    def feed(self, data: bytes) -> None:
        """Give input to the thread. Ignored after the end of input."""
        with self._condition:
            if not self._is_eof:
                self._input.append(data)
                self._condition.notify_all()

    def feed_eof(self) -> None:
        """Say that no more input comes."""
        with self._condition:
            self._is_eof = True
            self._condition.notify_all()

    half_close = feed_eof

    def disconnect(self) -> None:
        """Say that the peer is gone. The thread leaves the attempt at its next operation."""
        with self._condition:
            self._is_disconnected = True
            self._input.clear()
            self._output.clear()
            self._condition.notify_all()
            callback = self._on_disconnect
        self.changed.set()
        if callback is not None:
            callback()

    def take_output(self) -> tuple[bytes, bool]:
        """Take everything that the thread sent, and whether that is all; both at once, or one would be missed."""
        with self._condition:
            self._is_signalled = False
            self.changed.clear()
            data = b"".join(self._output)
            self._output.clear()
            self._output_bytes = 0
            self._condition.notify_all()
            return data, self._is_done

    def _signal(self) -> None:
        if self._is_signalled:
            return
        self._is_signalled = True
        try:
            self._loop.call_soon_threadsafe(self.changed.set)
        except RuntimeError:  # the loop was closed under us: nobody is left to talk to
            self._is_disconnected = True
