"""One exchange on an HTTP/2 connection.

Owns the request's bytes until the connection takes them, and the window of the response. What a frame is, and when
one may be sent, is the connection's business.

Source: RFC 9113, sections 5.2 and 8.1.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from durably.engine.transport.contract import HIGH_WATER_BYTES, ResponseHead, TransportError
from durably.engine.transport.exchange import Response

__all__ = ["Http2Stream", "StreamOwner"]

_CUT: Final = "The attempt was cut by the engine."


class StreamOwner(Protocol):
    """What a stream asks of its connection."""

    def request_grew(self, stream: Http2Stream) -> None:
        """Send what the stream holds, soon."""
        ...

    def response_taken(self, stream: Http2Stream, size: int) -> None:
        """Let the peer send `size` more bytes on this stream."""
        ...

    def cancel(self, stream: Http2Stream) -> None:
        """Reset the stream."""
        ...


class Http2Stream:
    """A request and its response; see `AttemptStream`.

    Attributes:
        id: Of the stream.
        inbound: The response.
        request_ended: Whether nothing more will be written.
        end_was_sent: Whether the peer knows.
        empty_frames: DATA frames without data that arrived.
        untold_bytes: Taken by the reader and not yet given back to the peer's window.
    """

    __slots__ = (
        "_owner",
        "_queue",
        "_queued_bytes",
        "_room",
        "empty_frames",
        "end_was_sent",
        "id",
        "inbound",
        "request_ended",
        "untold_bytes",
    )

    def __init__(self, stream_id: int, expected_type: str | None, owner: StreamOwner) -> None:
        """Start with an empty request whose head was sent."""
        self.id: int = stream_id
        self._owner = owner
        self._queue: deque[bytes | memoryview] = deque()
        self._queued_bytes = 0
        self._room: asyncio.Future[None] | None = None
        self.inbound: Response = Response(expected_type, self._on_taken)
        self.request_ended: bool = False
        self.end_was_sent: bool = False
        self.empty_frames: int = 0
        self.untold_bytes: int = 0

    @property
    def has_work(self) -> bool:
        """Whether there is something to send."""
        return bool(self._queue) or (self.request_ended and not self.end_was_sent)

    @property
    def queued_bytes(self) -> int:
        """How much of the request the connection has not taken."""
        return self._queued_bytes

    def write(self, data: bytes) -> None:
        """Add to the request without waiting."""
        if self.request_ended or self.inbound.is_over or not data:
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._owner.request_grew(self)

    async def send(self, data: bytes) -> None:
        """Add to the request; wait while the peer is far behind."""
        self.write(data)
        while self._queued_bytes > HIGH_WATER_BYTES and not self.inbound.is_over:
            room = self._room = asyncio.get_running_loop().create_future()
            await room

    async def half_close(self) -> None:
        """End the request."""
        if not self.request_ended and not self.inbound.is_over:
            self.request_ended = True
            self._owner.request_grew(self)

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
        """Reset the stream, if it is not over."""
        self._owner.cancel(self)
        self.fail(TransportError(_CUT))

    def take(self, size: int) -> bytes | memoryview:
        """Give up to `size` bytes of the request, which is over 0; the connection sends them now."""
        queue = self._queue
        first = queue[0]
        if len(first) >= size:
            taken: bytes | memoryview = first
            if len(first) == size:
                queue.popleft()
            else:
                view = memoryview(first)
                taken, queue[0] = view[:size], view[size:]
        else:
            parts: list[bytes | memoryview] = []
            missing = size
            while queue and len(queue[0]) <= missing:
                part = queue.popleft()
                missing -= len(part)
                parts.append(part)
            taken = b"".join(parts)
        self._queued_bytes -= len(taken)
        if self._queued_bytes <= HIGH_WATER_BYTES:
            self._wake()
        return taken

    def fail(self, failure: TransportError) -> None:
        """Note that the exchange is over, and why."""
        self.inbound.fail(failure)
        self.drop_request()

    def drop_request(self) -> None:
        """Forget what was not sent; nobody waits for room any more."""
        self._queue.clear()
        self._queued_bytes = 0
        self._wake()

    def _on_taken(self, size: int) -> None:
        self._owner.response_taken(self, size)

    def _wake(self) -> None:
        room = self._room
        if room is not None and not room.done():
            room.set_result(None)
