"""Drives an ASGI application in the engine's own event loop, without a socket.

Owns the ASGI server's side of one request: the scope, the events of the request and of the response, the disconnect.
It counts as HTTP/2, so the application streams in both directions. Bytes are handed over, not copied, except that
parts which nobody has taken yet are joined.

| the engine | the application sees |
|---|---|
| `write`, `send` | `http.request` with `more_body` |
| `half_close` | the last `http.request` |
| `abort` | `http.disconnect` from `receive`, an `OSError` from `send`; a cancellation 5 s later |
| reads slowly | a `send` that waits |

| the application | the engine sees |
|---|---|
| raises | a failure with the exception's type and text |
| returns before its response ended | a failure |
| reads slowly | a `send` that waits |

Source: ASGI 3.0, HTTP 2.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Any, Final
from urllib.parse import unquote

from durably.engine.transport.contract import (
    HIGH_WATER_BYTES,
    AttemptStream,
    DiscoveryResult,
    FailureKind,
    HttpVersion,
    ResponseHead,
    TransportError,
)
from durably.engine.transport.discovery import fetch_manifest
from durably.engine.transport.exchange import Response
from durably.engine.transport.signing import SigningKey

__all__ = ["AsgiApplication", "InProcessStream", "InProcessTransport"]

Event = dict[str, Any]
AsgiApplication = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

_UNWIND_LIMIT_S: Final = 5.0  # how long an application may take to leave after a disconnect, and after a cancellation
_VERSION: Final = {"version": "3.0", "spec_version": "2.4"}
_HERE: Final = ("127.0.0.1", 0)
_DISCONNECT: Final[Event] = {"type": "http.disconnect"}

_logger = logging.getLogger(__name__)


class InProcessTransport:
    """Reaches the services of an ASGI application in this process."""

    def __init__(self, application: AsgiApplication, *, prefix: str = "", identity: SigningKey | None = None) -> None:
        """Reach `application`.

        Args:
            application: For example `durably.hosting.asgi.AsgiApp`, or a web app that mounts one.
            prefix: Where it is mounted, as `/restate`.
            identity: Signs every request, for an application that is reached by others too and wants that.
        """
        self._identity = identity
        self._application = application
        self._prefix = prefix.rstrip("/")
        # Handlers see the variables of whoever made the engine, not those of the task that happens to open a stream.
        self._context = copy_context()
        self._open: set[InProcessStream] = set()
        self._is_closed = False

    @property
    def open_streams(self) -> int:
        """How many exchanges the application has not left yet."""
        return len(self._open)

    async def open(
        self, path: str, headers: Sequence[tuple[str, str]], *, streaming: bool = True, method: str = "POST"
    ) -> AttemptStream:
        """Start an exchange; see `Transport.open`."""
        del streaming  # the application can always do both at once
        if self._is_closed:
            raise TransportError("The engine has stopped.")
        if self._identity is not None:
            headers = self._identity.signed(path, headers)
        raw_path = self._prefix + path
        expected_type = None
        encoded: list[tuple[bytes, bytes]] = []
        for name, value in headers:
            if name == "content-type":
                expected_type = value
            encoded.append((name.encode("latin-1"), value.encode("latin-1")))
        scope: Event = {
            "type": "http",
            "asgi": _VERSION,
            "http_version": "2",
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path) if "%" in raw_path else raw_path,
            "raw_path": raw_path.encode("latin-1"),
            "query_string": b"",
            "root_path": "",
            "headers": encoded,
            "client": _HERE,
            "server": _HERE,
            "extensions": {},
        }
        stream = InProcessStream(expected_type, self._open)
        if method == "GET":
            stream.request_ended = True
        self._open.add(stream)
        stream.task = asyncio.get_running_loop().create_task(
            stream.run(self._application, scope), context=self._context.copy()
        )
        return stream

    async def discover(self, headers: Sequence[tuple[str, str]] = ()) -> DiscoveryResult:
        """Ask for the manifest; see `Transport.discover`."""
        return await fetch_manifest(self, headers)

    async def close(self) -> None:
        """Cut what is open."""
        self._is_closed = True
        if self._open:
            await asyncio.gather(*(stream.abort() for stream in list(self._open)))


class InProcessStream:
    """One request to an application; see `AttemptStream`.

    Attributes:
        task: Runs the application.
        request_ended: Whether nothing more will be written.
    """

    __slots__ = (
        "_end_was_told",
        "_is_cut",
        "_open",
        "_receiver",
        "_request",
        "_request_bytes",
        "_response",
        "_room_for_request",
        "_room_for_response",
        "request_ended",
        "task",
    )

    task: asyncio.Task[None]

    def __init__(self, expected_type: str | None, open_streams: set[InProcessStream]) -> None:
        """Start with an empty request; `open_streams` holds this one until the application left."""
        self._open = open_streams
        self._response = Response(expected_type, self._on_taken)
        self._request: list[bytes] = []
        self._request_bytes = 0
        self.request_ended: bool = False
        self._end_was_told = False
        self._is_cut = False
        self._receiver: asyncio.Future[None] | None = None
        self._room_for_request: asyncio.Future[None] | None = None
        self._room_for_response: asyncio.Future[None] | None = None

    # The engine's side.

    def write(self, data: bytes) -> None:
        """Add to the request without waiting."""
        if self.request_ended or self._is_over or not data:
            return
        self._request.append(data)
        self._request_bytes += len(data)
        _wake(self._receiver)

    async def send(self, data: bytes) -> None:
        """Add to the request; wait while the application is far behind."""
        self.write(data)
        while self._request_bytes > HIGH_WATER_BYTES and not self._is_over:
            room = self._room_for_request = asyncio.get_running_loop().create_future()
            await room

    async def half_close(self) -> None:
        """End the request."""
        self.request_ended = True
        _wake(self._receiver)

    async def receive(self) -> bytes | None:
        """Give the next part of the response; see `AttemptStream.receive`."""
        return await self._response.receive()

    async def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give every part of the response to a function; see `AttemptStream.hand_over`."""
        return await self._response.hand_over(take)

    async def response(self) -> ResponseHead:
        """Wait for the head of the response."""
        return await self._response.head()

    async def abort(self) -> None:
        """Disconnect, and wait until the application left; after a time it is cancelled."""
        self._cut()
        task = self.task
        if task.done():
            return
        _, pending = await asyncio.wait((task,), timeout=_UNWIND_LIMIT_S)
        if pending:
            task.cancel()
            _, pending = await asyncio.wait((task,), timeout=_UNWIND_LIMIT_S)
        if pending:
            _logger.warning("An application does not leave a request that was cut %.0f s ago.", 2 * _UNWIND_LIMIT_S)

    def _cut(self) -> None:
        self._is_cut = True
        self._response.fail(TransportError("The attempt was cut by the engine."))
        self._request.clear()
        self._request_bytes = 0
        self._wake_all()

    @property
    def _is_over(self) -> bool:
        return self._is_cut or self._response.is_over

    def _on_taken(self, _: int) -> None:
        _wake(self._room_for_response)

    # The application's side.

    async def run(self, application: AsgiApplication, scope: Event) -> None:
        """Run the application to its end; never raises what it raises."""
        try:
            await application(scope, self._receive_event, self._send_event)
        except Exception as error:
            if not self._is_over:
                _logger.exception("The application failed at %s.", scope["path"])
                text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                self._response.fail(TransportError(f"The application failed: {text}", kind=FailureKind.VIOLATION))
        finally:
            if not self._response.is_over:
                self._response.fail(
                    TransportError("The application left before its response ended.", kind=FailureKind.VIOLATION)
                )
            self._open.discard(self)
            _wake(self._room_for_request)

    async def _receive_event(self) -> Event:
        while True:
            if self._is_over:
                return _DISCONNECT
            if self._request:
                parts = self._request
                body = parts[0] if len(parts) == 1 else b"".join(parts)
                parts.clear()
                self._request_bytes = 0
                _wake(self._room_for_request)
                self._end_was_told = self.request_ended
                return {"type": "http.request", "body": body, "more_body": not self.request_ended}
            if self.request_ended and not self._end_was_told:
                self._end_was_told = True
                return {"type": "http.request", "body": b"", "more_body": False}
            receiver = self._receiver
            if receiver is None or receiver.done():
                receiver = self._receiver = asyncio.get_running_loop().create_future()
            await receiver

    async def _send_event(self, event: Event) -> None:
        if self._is_cut:
            raise ConnectionResetError("The engine cut this attempt.")
        response = self._response
        match event["type"]:
            case "http.response.body":
                body = event.get("body", b"")
                if body:
                    response.feed(body if type(body) is bytes else bytes(body))
                if not event.get("more_body", False):
                    response.end()
                    self._wake_all()
                    return
                while response.buffered_bytes > HIGH_WATER_BYTES and not self._is_over:
                    room = self._room_for_response = asyncio.get_running_loop().create_future()
                    await room
            case "http.response.start":
                headers = tuple(
                    (name.decode("latin-1").lower(), value.decode("latin-1"))
                    for name, value in event.get("headers", ())
                )
                response.start(ResponseHead(event["status"], headers, HttpVersion.HTTP_2))
                if response.is_over:
                    self._wake_all()
            case _:
                pass  # an extension's event: none is offered, so none matters

    def _wake_all(self) -> None:
        _wake(self._receiver)
        _wake(self._room_for_request)
        _wake(self._room_for_response)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
