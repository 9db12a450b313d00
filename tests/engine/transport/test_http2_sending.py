"""Turns, windows and the socket, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded

from durably.engine.transport.http2_protocol import ClientProtocol
from durably.engine.transport.http2_sending import Sender
from durably.engine.transport.http2_streams import Http2Stream
from durably.engine.transport.options import HttpOptions


class Line:
    """A sender with two open streams, and the server that reads what it sends."""

    def __init__(self) -> None:
        """Connect."""
        self.client, self.server = ClientProtocol(), H2Connection(H2Configuration(client_side=False))
        self.client.greet(HttpOptions())
        self.server.initiate_connection()
        self.streams: dict[int, Http2Stream] = {}
        self.sender = Sender(self.client, self.streams)
        self.sender.transport = self  # type: ignore[assignment]
        self.frames: list[tuple[int, int]] = []
        self.ended: list[int] = []
        self.is_over = False
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        for number in (1, 3):
            self.client.send_headers(number, head)
            self.streams[number] = Http2Stream(number, None, self)
        self.sender.flush()
        self.client.receive_data(self.server.data_to_send())

    def write(self, data: bytes) -> None:
        """Read what is sent, as a transport."""
        for event in self.server.receive_data(data):
            if isinstance(event, DataReceived) and event.data:
                self.frames.append((event.stream_id or 0, len(event.data)))
            elif isinstance(event, StreamEnded):
                self.ended.append(event.stream_id or 0)

    def is_closing(self) -> bool:
        """Say whether it was closed, as a transport."""
        return self.is_over

    def close(self) -> None:
        """Close, as a transport."""
        self.is_over = True

    def request_grew(self, stream: Http2Stream) -> None:
        """Pass it on, as a connection."""
        self.sender.add(stream)

    def response_taken(self, stream: Http2Stream, size: int) -> None:
        """Do nothing."""

    def cancel(self, stream: Http2Stream) -> None:
        """Do nothing."""


async def turn() -> None:
    """Let what is scheduled happen."""
    await asyncio.sleep(0)


async def test_streams_take_turns():
    """Two large requests alternate frame by frame until the connection's window is used up."""
    line = Line()
    for stream in line.streams.values():
        stream.write(bytes(100_000))
    await turn()
    assert [number for number, _ in line.frames] == [1, 3, 1, 3]
    assert sum(size for _, size in line.frames) == 65535


async def test_a_window_that_grows_gives_the_turn_back():
    """The peer's update of the connection wakes all that waited; the rest and the ends follow."""
    line = Line()
    for stream in line.streams.values():
        stream.write(bytes(50_000))
        await stream.half_close()
    await turn()
    line.server.increment_flow_control_window(1_000_000)
    line.client.receive_data(line.server.data_to_send())
    line.sender.window_grew(None)
    await turn()
    assert sum(size for _, size in line.frames) == 100_000
    assert line.ended == [1, 3]


async def test_one_stream_can_wait_alone():
    """A stream whose own window is used up does not hold up the other; its update wakes it."""
    line = Line()
    line.server.update_settings({4: 1000})
    line.client.receive_data(line.server.data_to_send())
    first, second = line.streams.values()
    first.write(bytes(1500))
    second.write(b"passes")
    await turn()
    assert line.frames == [(1, 1000), (3, 6)]
    line.server.increment_flow_control_window(500, 1)
    line.client.receive_data(line.server.data_to_send())
    line.sender.window_grew(second)
    await turn()
    assert len(line.frames) == 2
    line.sender.window_grew(first)
    await turn()
    assert line.frames[2:] == [(1, 500)]


async def test_a_full_socket_stops_the_turns():
    """Nothing is taken from streams while the socket is full."""
    line = Line()
    line.sender.is_paused = True
    line.streams[1].write(b"later")
    await turn()
    assert line.frames == []
    line.sender.is_paused = False
    line.sender.schedule()
    await turn()
    assert line.frames == [(1, 5)]


async def test_what_is_forgotten_is_not_sent():
    """A stream that is gone sends nothing, and after close nothing is sent at all."""
    line = Line()
    first, second = line.streams.values()
    first.write(b"gone")
    line.sender.forget(first)
    second.write(b"gone too")
    del line.streams[3]
    await turn()
    first.write(b"late")
    line.sender.close()
    await turn()
    line.sender.schedule()
    await turn()
    seen: Any = line.frames
    assert (seen, line.is_over) == ([], True)
