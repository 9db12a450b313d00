"""What a handler may know of the request it serves, and of the end of its attempt."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

__all__ = ["AttemptFinishedEvent", "Request"]


class AttemptFinishedEvent:
    """Set once this attempt is over, whatever ended it; then its resources can be let go.

    An attempt is over when the invocation is completed or suspended, when the attempt failed, or when
    the connection to the runtime is gone. A step that runs in a thread should look at it now and then,
    because a thread cannot be interrupted.

    Source: ours, after the Python peer's event of the same name.
    """

    __slots__ = ("_lock", "_loop_waiters", "_set", "_thread_event")

    def __init__(self) -> None:
        """Start unset."""
        self._set = False
        self._lock = threading.Lock()
        self._loop_waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._thread_event: threading.Event | None = None

    def is_set(self) -> bool:
        """Tell whether the attempt is over. Safe from any thread."""
        return self._set

    async def wait(self) -> None:
        """Wait, in a task, until the attempt is over."""
        with self._lock:
            if self._set:
                return
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            self._loop_waiters.append((loop, waiter))
        await waiter

    def wait_blocking(self, timeout_s: float | None = None) -> bool:
        """Block this thread until the attempt is over; False when `timeout_s` ran out first."""
        with self._lock:
            if self._thread_event is None:
                self._thread_event = threading.Event()
                if self._set:
                    self._thread_event.set()
            event = self._thread_event
        return event.wait(timeout_s)

    def set(self) -> None:
        """Mark the attempt as over and wake every waiter. Safe from any thread; twice is harmless."""
        with self._lock:
            self._set = True
            waiters, self._loop_waiters = self._loop_waiters, []
            if self._thread_event is not None:
                self._thread_event.set()
        for loop, waiter in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass(slots=True)
class Request:
    """The request that started the invocation.

    Attributes:
        id: The invocation id, `inv_1…`.
        headers: Headers the caller sent, as recorded; the same on every attempt.
        attempt_headers: Headers of this attempt's HTTP request, lower-case names.
        body: The input's bytes, as recorded (encoded, where a journal value codec is used).
        attempt_finished_event: Set once this attempt is over.
        scope: Scope the invocation was submitted with, or None (protocol V7).
        limit_key: Limit key it was submitted with, or None (protocol V7).
        idempotency_key: Idempotency key it was submitted with, or None (protocol V7).

    Source: service protocol, StartMessage and InputCommandMessage.
    """

    id: str
    headers: dict[str, str]
    attempt_headers: dict[str, str]
    body: bytes
    attempt_finished_event: AttemptFinishedEvent = field(default_factory=AttemptFinishedEvent)
    scope: str | None = None
    limit_key: str | None = None
    idempotency_key: str | None = None
