"""Runs `def` handlers under ASGI: each attempt in a thread of a bounded pool, its bytes pumped by the event loop.

Owns the pool and the rules for when it is full. An attempt is first fed on the loop until its whole journal is
there, so malformed bodies are answered without a thread. Then it queues for one.

**A full pool must not be a deadlock.** A handler that waits for another handler of this process holds a thread that
the other one needs. When attempts queue for 100 ms, the attempt that has waited longest for the runtime is told that
its request ended. That is something the runtime does by itself after a minute without traffic: the attempt suspends,
its thread is free, and the runtime calls again when there is something to go on with.

Source: ours, docs/design; service protocol, "Closing an invocation stream".
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.drivers import Disconnected
from durably.authoring.sync_attempt import run_sync_attempt
from durably.errors import ProtocolError
from durably.hosting.bridge import Bridge
from durably.hosting.drain import drain
from durably.hosting.request_log import Refusal, request_log
from durably.hosting.thread_pool import ThreadPool

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint
    from durably.hosting.routes import Invocation
    from durably.machine import Machine

__all__ = ["ThreadedDriver"]

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_HELPER_THREADS: Final = 64  # durable steps running beside their handlers, all attempts together
_RELIEF_INTERVAL_S: Final = 0.1  # between two looks at a queue that does not move
_WAITING_LONG_ENOUGH_S: Final = 0.05  # an attempt that waits less may be about to go on
_QUEUE_WARNING_S: Final = 5.0  # an attempt that queues this long is reported
_DRAIN_LIMIT_S: Final = 60.0  # a server that never tells the end of a request keeps a stream no longer than this

_LAST_CHUNK: Final[Event] = {"type": "http.response.body", "body": b"", "more_body": False}

_logger = logging.getLogger(__name__)


class ThreadedDriver:
    """Runs the attempts of `def` handlers of one endpoint."""

    def __init__(self, endpoint: Endpoint, threads: int) -> None:
        """Use up to `threads` threads; none starts before it is needed."""
        self._endpoint = endpoint
        self._pool = ThreadPool(threads, "durably-handler")
        self._helpers = ThreadPool(_HELPER_THREADS, "durably-step")
        self._running: set[Bridge] = set()

    @property
    def pool(self) -> ThreadPool:
        """The handlers' threads."""
        return self._pool

    async def run(self, invocation: Invocation, machine: Machine, receive: Receive, send: Send) -> None:
        """Run one attempt whose response head was sent; returns when its stream may end.

        Sends the whole body and ends it after the request ended. When the peer goes away, returns at once and
        leaves the thread to notice at its next operation.
        """
        if not await _feed_journal(invocation, machine, receive, send):
            return
        bridge = Bridge(asyncio.get_running_loop(), self._helpers)
        request_ended = asyncio.Event()
        if machine.input_closed:
            bridge.feed_eof()
            request_ended.set()
        reader = asyncio.create_task(_pump_input(receive, bridge, request_ended))
        self._running.add(bridge)
        try:
            await self._start(invocation, machine, bridge)
            await _pump_output(bridge, send)
            if not bridge.is_disconnected:
                await _wait_for_end(request_ended)
            if not bridge.is_disconnected:
                await send(_LAST_CHUNK)
        finally:
            self._running.discard(bridge)
            if not bridge.is_done:
                bridge.disconnect()
            reader.cancel()

    def abort_all(self) -> None:
        """Make every attempt leave at its next operation; the runtime runs them again."""
        for bridge in list(self._running):
            bridge.disconnect()

    def relieve(self) -> bool:
        """Let the attempt that waits longest for the runtime suspend. Gives False when none waits.

        Called while attempts queue for a thread.
        """
        latest_s = time.monotonic() - _WAITING_LONG_ENOUGH_S
        waiting = [(since_s, bridge) for bridge in self._running if (since_s := bridge.waiting_since_s) is not None]
        since_s, longest = min(waiting, key=lambda entry: entry[0], default=(latest_s, None))
        if longest is None or since_s > latest_s:
            return False
        longest.half_close()
        return True

    async def _start(self, invocation: Invocation, machine: Machine, bridge: Bridge) -> None:
        context = contextvars.copy_context()
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def job() -> None:
            try:
                loop.call_soon_threadsafe(started.set)
                if not bridge.is_disconnected:
                    context.run(_run_attempt, self._endpoint, invocation, machine, bridge)
            except RuntimeError:
                # Only the call above raises it: the loop was closed while the attempt queued.
                bridge.disconnect()
            finally:
                bridge.finish()

        if not self._pool.submit(job):
            await self._wait_in_queue(invocation, bridge, started)

    async def _wait_in_queue(self, invocation: Invocation, bridge: Bridge, started: asyncio.Event) -> None:
        queued_at_s = time.monotonic()
        was_reported = False
        while not started.is_set() and not bridge.is_disconnected:
            try:
                async with asyncio.timeout(_RELIEF_INTERVAL_S):
                    await started.wait()
            except TimeoutError:
                self.relieve()
            if not was_reported and time.monotonic() - queued_at_s >= _QUEUE_WARNING_S:
                was_reported = True
                _logger.warning(
                    "%s/%s has waited %.0f s for a thread: all %d are busy, %d attempts queue. Raise `threads`, or"
                    " make handlers that wait long `async def`.",
                    invocation.handler.service_name,
                    invocation.handler.name,
                    time.monotonic() - queued_at_s,
                    self._pool.size,
                    self._pool.queued,
                )


def _run_attempt(endpoint: Endpoint, invocation: Invocation, machine: Machine, bridge: Bridge) -> None:
    try:
        run_sync_attempt(invocation.handler, endpoint, machine, invocation.headers, bridge)
    except Disconnected:
        _logger.debug("The peer of %s went away.", invocation.path)
    except Exception as error:
        _logger.exception("The driver of %s failed.", invocation.path)
        machine.fail(message=f"The endpoint failed: {type(error).__name__}.")
        bridge.send(machine.data_to_send())


async def _feed_journal(invocation: Invocation, machine: Machine, receive: Receive, send: Send) -> bool:
    """Feed the machine until the attempt can start. Gives False when it never will; the answer was sent then."""
    has_ended = False
    try:
        while not machine.is_ready_to_execute and not has_ended:
            event = await receive()
            if event["type"] == "http.disconnect":
                return False
            has_ended = not event.get("more_body", False)
            body = event.get("body")
            if body:
                machine.receive_data(body)
            if has_ended:
                machine.receive_eof()
    except ProtocolError as error:
        request_log.refused(
            Refusal.MALFORMED_BODY, status=200, path=invocation.path, peer=invocation.peer, reason=error.message
        )
    if machine.is_ready_to_execute and not machine.is_closed:
        return True
    await send({"type": "http.response.body", "body": machine.data_to_send(), "more_body": True})
    if has_ended or await drain(receive, _DRAIN_LIMIT_S):
        await send(_LAST_CHUNK)
    return False


async def _pump_input(receive: Receive, bridge: Bridge, request_ended: asyncio.Event) -> None:
    """Carry the request to the thread, then wait for the peer to go away. Ends by being cancelled, or with that."""
    try:
        while (event := await receive())["type"] != "http.disconnect":
            if request_ended.is_set():
                # Servers block after the end until the peer goes away. One that does not would be asked for ever.
                return
            body = event.get("body")
            if body:
                bridge.feed(body)
            if not event.get("more_body", False):
                bridge.feed_eof()
                request_ended.set()
    except OSError as error:
        _logger.debug("The server failed to read the request: %s", error)
    bridge.disconnect()
    request_ended.set()


async def _pump_output(bridge: Bridge, send: Send) -> None:
    while True:
        await bridge.changed.wait()
        data, is_done = bridge.take_output()
        if bridge.is_disconnected:
            return
        if data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if is_done:
            return


async def _wait_for_end(request_ended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_DRAIN_LIMIT_S):
            await request_ended.wait()
    except TimeoutError:
        _logger.debug("The request did not end within %.0f s after its answer.", _DRAIN_LIMIT_S)
