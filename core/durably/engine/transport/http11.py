"""A client's HTTP/1.1 connection on the running event loop, and the one exchange it carries at a time.

Owns bytes and their order; `h11` knows the protocol. The request's body is chunked and goes out as it is written, the
response is read at the same time, so a server that can stream both ways does.

| event | effect |
|---|---|
| response complete, request complete | the connection can be used again, if the peer keeps it |
| response complete, request not | the response is whole; the connection is closed |
| connection lost on its first use | the exchange fails |
| connection lost before a byte of the answer, when used again | the same, and it can be tried again at once |
| the reader is behind | reading from the socket pauses |
| the peer is behind | `send` waits |

Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import h11

from durably.engine.transport.contract import (
    HIGH_WATER_BYTES,
    FailureKind,
    HttpVersion,
    HttpVersionError,
    ResponseHead,
    TransportError,
)
from durably.engine.transport.exchange import Response

__all__ = ["Http11Connection", "Http11Stream"]

_MAX_HEAD_BYTES: Final = 64 * 1024


class Http11Connection(asyncio.Protocol):
    """One connection, for one exchange at a time.

    Attributes:
        idle_since_s: When its last exchange ended, on the loop's clock.
    """

    def __init__(
        self, on_idle: Callable[[Http11Connection], None], on_closed: Callable[[Http11Connection], None]
    ) -> None:
        """Prepare; `on_idle` is called each time it can be used again, `on_closed` once."""
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._stream: Http11Stream | None = None
        self._exchanges = 0
        self._is_answered = False
        self._is_read_paused = False
        self._room: asyncio.Future[None] | None = None
        self.is_full: bool = False
        self.is_closed: bool = False
        self.idle_since_s: float = self._loop.time()

    @property
    def can_open(self) -> bool:
        """Whether it takes an exchange now."""
        return not self.is_closed and self._stream is None and self._transport is not None

    def open(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        expected_type: str | None,
    ) -> Http11Stream:
        """Start an exchange; `can_open` was true. `headers` have `host`, and the framing where there is a body."""
        stream = self._stream = Http11Stream(self, expected_type)
        self._exchanges += 1
        self._is_answered = False
        self._send(h11.Request(method=method, target=target, headers=list(headers)))
        return stream

    def close(self, failure: TransportError | None = None) -> None:
        """Close; an open exchange fails with `failure`."""
        if self._transport is not None:
            if self._stream is None:
                self._transport.close()
            else:
                self._transport.abort()
        self._lose(failure or TransportError("The connection was closed by the engine."))

    # What the exchange asks for.

    def send_data(self, data: bytes) -> None:
        """Send a part of the body."""
        self._send(h11.Data(data=data))

    def send_end(self) -> None:
        """Send the end of the body."""
        self._send(h11.EndOfMessage())
        self._reuse()

    async def wait_for_room(self) -> None:
        """Wait until the socket takes more."""
        while self.is_full and not self.is_closed:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def response_taken(self) -> None:
        """Read on."""
        if self._is_read_paused and self._transport is not None and not self.is_closed:
            self._is_read_paused = False
            self._transport.resume_reading()
            self._read_or_close()  # what was left when it paused

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer."""
        if self.is_closed:
            return
        if self._stream is None:
            self.close()  # nobody asked
            return
        self._is_answered = True
        self._h11.receive_data(data)
        self._read_or_close()

    def eof_received(self) -> None:
        """Note that the peer ended; a response without a length is complete by that, another one is cut."""
        if self.is_closed or self._stream is None:
            return
        self._h11.receive_data(b"")
        try:
            self._read_events()
        except h11.RemoteProtocolError:
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is open."""
        is_refused = self._exchanges > 1 and not self._is_answered
        text = f"The connection to the service was lost: {exc or 'closed by the peer'}."
        self._lose(TransportError(text, is_refused=is_refused))

    def pause_writing(self) -> None:
        """Let `send` wait: the socket is full."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Let `send` go on."""
        self.is_full = False
        self._wake()

    # Inside.

    def _send(self, event: h11.Event) -> None:
        if self.is_closed or self._transport is None:
            return
        data = self._h11.send(event)
        if data:
            self._transport.write(data)

    def _read_events(self) -> None:
        while self._stream is not None and not self._is_read_paused:
            event: Any = self._h11.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            self._on_event(self._stream, event)

    def _read_or_close(self) -> None:
        try:
            self._read_events()
        except h11.RemoteProtocolError:
            # Without h11's text, which shows what the peer wrote.
            self.close(TransportError("The service broke HTTP/1.1.", kind=FailureKind.VIOLATION))

    def _on_event(self, stream: Http11Stream, event: Any) -> None:
        match event:
            case h11.Response():
                if event.http_version != b"1.1":
                    self.close(_too_old())
                    return
                headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
                stream.inbound.start(ResponseHead(event.status_code, headers, HttpVersion.HTTP_1_1))
                if stream.inbound.is_over:
                    self.close()  # its head is a failure: what follows is of no use
            case h11.Data():
                stream.inbound.feed(bytes(event.data))
                if stream.inbound.buffered_bytes > HIGH_WATER_BYTES and self._transport is not None:
                    self._is_read_paused = True
                    self._transport.pause_reading()
            case h11.EndOfMessage():
                stream.inbound.end()
                self._reuse()
                if self._stream is not None:
                    self.close()  # the request has not ended, and nobody reads it any more
            case _:
                pass  # informational heads

    def _reuse(self) -> None:
        states = (self._h11.our_state, self._h11.their_state)
        if states == (h11.DONE, h11.DONE):
            self._h11.start_next_cycle()
            self._stream = None
            self.idle_since_s = self._loop.time()
            self._on_idle(self)
        elif (
            self._h11.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED) and self._h11.our_state is not h11.SEND_BODY
        ):
            self._stream = None
            self.close()

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def _lose(self, failure: TransportError) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.inbound.fail(failure)
        self._wake()
        self._on_closed(self)


class Http11Stream:
    """A request and its response; see `AttemptStream`.

    Attributes:
        inbound: The response.
    """

    __slots__ = ("_connection", "_request_ended", "inbound")

    def __init__(self, connection: Http11Connection, expected_type: str | None) -> None:
        """Start with a request whose head is about to be sent."""
        self._connection = connection
        self._request_ended = False
        self.inbound: Response = Response(expected_type, self._on_taken)

    def write(self, data: bytes) -> None:
        """Add to the request without waiting."""
        if data and not self._request_ended and not self.inbound.is_over:
            self._connection.send_data(data)

    async def send(self, data: bytes) -> None:
        """Add to the request; wait while the peer is far behind."""
        self.write(data)
        if self._connection.is_full and not self.inbound.is_over:
            await self._connection.wait_for_room()

    async def half_close(self) -> None:
        """End the request."""
        if not self._request_ended and not self.inbound.is_over:
            self._request_ended = True
            self._connection.send_end()

    async def receive(self) -> bytes | None:
        """Give the next part of the response; see `AttemptStream.receive`."""
        return await self.inbound.receive()

    async def hand_over(self, take: Callable[[bytes], bool]) -> bool:
        """Give every part of the response to a function; see `AttemptStream.hand_over`."""
        return await self.inbound.hand_over(take)

    async def response(self) -> ResponseHead:
        """Wait for the head of the response."""
        return await self.inbound.head()

    async def abort(self) -> None:
        """Close the connection, if the exchange is not over."""
        if not self.inbound.is_over:
            self._connection.close(TransportError("The attempt was cut by the engine."))

    def _on_taken(self, _: int) -> None:
        self._connection.response_taken()


def _too_old() -> HttpVersionError:
    return HttpVersionError(
        "The service answers in HTTP/1.0.",
        discovery_code="META0015",
        hint="Serve it with HTTP/1.1 or HTTP/2; does a proxy in between use HTTP/1.0?",
    )
