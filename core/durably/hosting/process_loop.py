"""One event loop per process, in a daemon thread, for `async def` handlers on WSGI workers.

Owns that loop. A new loop for every request would break whatever the application keeps between requests and ties to
a loop: connection pools, locks, clients.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from durably.hosting.aio import run_attempt

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint
    from durably.hosting.routes import Invocation
    from durably.machine import Machine

__all__ = ["process_loop", "run_on_process_loop"]

ResultT = TypeVar("ResultT")
Event = dict[str, Any]


class _LoopThread:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None

    def forget(self) -> None:
        """After a fork: the thread did not survive it."""
        self.lock = threading.Lock()
        self.loop = None


_state = _LoopThread()
os.register_at_fork(after_in_child=_state.forget)


def process_loop() -> asyncio.AbstractEventLoop:
    """Give the loop, started on first use. It runs until the process ends."""
    with _state.lock:
        if _state.loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="durably-loop", daemon=True).start()
            _state.loop = loop
        return _state.loop


def run_on_process_loop(invocation: Invocation, endpoint: Endpoint, machine: Machine, chunks: Iterator[bytes]) -> bytes:
    """Run one attempt of an `async def` handler on the process's loop and wait for it.

    This thread reads the request, because that blocks; the handler starts as soon as its journal is there.

    Args:
        invocation: The handler and the request's headers.
        endpoint: The endpoint it belongs to.
        machine: A fresh machine of the invocation's version.
        chunks: The request body. What the attempt does not want is left in it.

    Returns:
        The whole response body.

    Raises:
        RemoteProtocolError: From `chunks`. The attempt was aborted.
        OSError: From `chunks`. The attempt was aborted.
    """
    loop = process_loop()
    channel = _Channel()
    future = _submit(
        run_attempt(invocation.handler, endpoint, machine, invocation.headers, channel.receive, channel.send), loop
    )
    try:
        for chunk in chunks:
            if machine.is_closed:  # read from another thread: at worst one chunk too many is handed over
                break
            loop.call_soon_threadsafe(channel.put, {"type": "http.request", "body": chunk, "more_body": True})
    except BaseException:
        loop.call_soon_threadsafe(channel.put, {"type": "http.disconnect"})
        raise
    loop.call_soon_threadsafe(channel.put, {"type": "http.request", "body": b"", "more_body": False})
    future.result()
    return channel.output()


def _submit(
    coroutine: Coroutine[Any, Any, ResultT], loop: asyncio.AbstractEventLoop
) -> concurrent.futures.Future[ResultT]:
    # Runs with a copy of this thread's context variables.
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


class _Channel:
    """An ASGI `receive` and `send` whose other end is a WSGI worker."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._output: list[bytes] = []

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def receive(self) -> Event:
        return await self._events.get()

    async def send(self, event: Any) -> None:
        self._output.append(event.get("body", b""))

    def output(self) -> bytes:
        return b"".join(self._output)
