"""The request of an HTTP/2 stream until its connection takes it."""

from __future__ import annotations

import asyncio

import pytest

from durably.engine.transport.contract import HIGH_WATER_BYTES, ResponseHead, TransportError
from durably.engine.transport.http2_streams import Http2Stream


class Owner:
    """A connection that only notes what it is asked."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.asked: list[object] = []

    def request_grew(self, stream: Http2Stream) -> None:
        """Note it."""
        self.asked.append("grew")

    def response_taken(self, stream: Http2Stream, size: int) -> None:
        """Note it."""
        self.asked.append(size)

    def cancel(self, stream: Http2Stream) -> None:
        """Note it."""
        self.asked.append("cancel")


async def test_the_request_is_taken_in_frames():
    """Small parts are joined up to the frame's size, large ones cut, and nothing is lost or moved."""
    stream = Http2Stream(1, None, Owner())
    for data in (b"ab", b"cde", b"", b"fghijklmnop"):
        stream.write(data)
    assert stream.queued_bytes == 16
    taken: list[bytes] = []
    while stream.has_work:
        taken.append(bytes(stream.take(6)))
    assert taken == [b"abcde", b"fghijk", b"lmnop"]
    assert not stream.has_work
    await stream.half_close()
    await stream.half_close()
    assert stream.has_work
    stream.write(b"late")
    assert stream.queued_bytes == 0


async def test_send_waits_for_room_or_the_end():
    """It goes on when enough was taken, and when the exchange failed."""
    for ends in (False, True):
        stream = Http2Stream(1, None, Owner())
        sending = asyncio.create_task(stream.send(bytes(HIGH_WATER_BYTES + 10)))
        await asyncio.sleep(0)
        assert not sending.done()
        if ends:
            stream.fail(TransportError("gone"))
        else:
            stream.take(10)
        await sending


async def test_the_reader_gives_the_window_back():
    """What is read is reported to the connection; abort resets and fails."""
    owner = Owner()
    stream = Http2Stream(1, None, owner)
    stream.inbound.start(ResponseHead(200, ()))
    stream.inbound.feed(b"12345")
    assert await stream.receive() == b"12345"
    assert (await stream.response()).status == 200
    await stream.abort()
    assert owner.asked == [5, "cancel"]
    with pytest.raises(TransportError, match="cut"):
        await stream.receive()
