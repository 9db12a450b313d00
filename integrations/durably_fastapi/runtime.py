"""The life of an application's runtime: one link, started and stopped with the application.

Owns who starts it and who stops it. Whoever starts it first owns that life: the application's lifespan,
`durably.lifespan`, or the first request of an application without one. For everybody else both do nothing.

| state | begins with | what a request finds |
|---|---|---|
| `IDLE` | construction | nothing: the runtime is started for it, on a thread of its own |
| `RUNNING` | `start`, `start_late` | a link that works |
| `ENDED` | `stop` | a link that refuses while the server stops; on another event loop, as `IDLE` |
"""

from __future__ import annotations

import asyncio
import atexit
import enum
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from fastapi import FastAPI

from durably.endpoint import Endpoint
from durably.web.link import Link
from durably.web.settings import Settings

__all__ = ["Runtime"]

_LATE_RETRY_S: Final = 5.0  # a store that cannot be opened is not tried again for every request

_logger = logging.getLogger(__name__)


class _State(enum.Enum):
    IDLE = "idle"
    RUNNING = "running"
    ENDED = "ended"


class Runtime:
    """What the parts of the adapter know about the application they belong to.

    Attributes:
        settings: As they were read.
        endpoint: Where services are bound.
        app: The application whose requests are served; None before `init_app`.
    """

    def __init__(self, settings: Settings, endpoint: Endpoint, make_link: Callable[[], Link]) -> None:
        """Prepare; nothing is opened before it is started."""
        self.settings: Settings = settings
        self.endpoint: Endpoint = endpoint
        self.app: FastAPI | None = None
        self._make_link = make_link
        self._link = make_link()
        self._state = _State.IDLE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._late_lock = threading.Lock()
        self._late_failed_s = float("-inf")

    @property
    def link(self) -> Link:
        """The way to the runtime, of this life or of the last one."""
        return self._link

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the application is served on; None while nobody knows."""
        return self._loop if self._state is _State.RUNNING else None

    @property
    def needs_start(self) -> bool:
        """Whether a request on the running event loop has to start the runtime itself."""
        if self._state is _State.RUNNING:
            return self._loop is not None and self._loop.is_closed()  # a life that nobody ended
        return self._state is _State.IDLE or self._loop is not asyncio.get_running_loop()

    async def start(self) -> bool:
        """Start on the running event loop; gives whether the caller has to `stop` it.

        Raises:
            DurablyError: The store or a setting cannot be used. Nothing is running then.
        """
        if self._state is _State.RUNNING and not self.needs_start:
            return False
        link = self._fresh_link()
        await link.start()
        self._loop = asyncio.get_running_loop()
        self._state = _State.RUNNING
        return True

    async def stop(self) -> None:
        """End the life that `start` began, in bounded time; what was acknowledged goes on with the next one."""
        self._state = _State.ENDED
        await self._link.stop()

    async def start_late(self) -> None:
        """Start for a request, because no lifespan did; says so once. A failure is logged, and the request goes on."""
        await asyncio.get_running_loop().run_in_executor(None, self._start_late)

    def _start_late(self) -> None:
        with self._late_lock:
            if self._state is _State.RUNNING and (self._loop is None or not self._loop.is_closed()):
                return
            if time.monotonic() - self._late_failed_s < _LATE_RETRY_S:
                return
            try:
                link = self._fresh_link()
                link.start_blocking()
            except Exception:
                self._late_failed_s = time.monotonic()
                _logger.exception("The runtime of durable handlers could not be started.")
                return
            self._loop = None
            self._state = _State.RUNNING
        atexit.register(link.stop_blocking)
        _logger.warning(
            "No lifespan started the runtime of durable handlers, so this request did, on a thread of its own. "
            "Give the outermost application `lifespan=durably.lifespan`, or use its test client with `with`."
        )

    def _fresh_link(self) -> Link:
        if self._link.is_started:  # of a life that nobody ended
            self._link = self._make_link()
        return self._link
