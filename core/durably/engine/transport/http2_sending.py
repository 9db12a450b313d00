"""Sends what streams hold, in turns, as far as windows and the socket allow.

Owns who is next. Streams that have something take turns, one frame each; one whose window is used up leaves the turn
until the peer opens it. All that is written in one turn of the event loop leaves together.

Source: RFC 9113, section 5.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from durably.engine.transport.http2_protocol import ClientProtocol
from durably.engine.transport.http2_streams import Http2Stream

__all__ = ["Sender"]


class Sender:
    """The outgoing side of one connection.

    Attributes:
        transport: Where bytes go, once there is one.
        is_paused: Whether the socket is full.
    """

    __slots__ = ("_blocked", "_h2", "_is_scheduled", "_loop", "_pending", "_streams", "is_paused", "transport")

    def __init__(self, h2: ClientProtocol, streams: Mapping[int, Http2Stream]) -> None:
        """Send for `streams`, those that are open, by number."""
        self._loop = asyncio.get_running_loop()
        self._h2 = h2
        self._streams = streams
        self._pending: dict[Http2Stream, None] = {}
        self._blocked: dict[Http2Stream, None] = {}
        self._is_scheduled = False
        self.is_paused: bool = False
        self.transport: asyncio.Transport | None = None

    def add(self, stream: Http2Stream) -> None:
        """Send what the stream holds at the next turn."""
        if stream not in self._blocked:
            self._pending[stream] = None
            self.schedule()

    def forget(self, stream: Http2Stream) -> None:
        """Send nothing more for it."""
        self._pending.pop(stream, None)
        self._blocked.pop(stream, None)

    def window_grew(self, stream: Http2Stream | None) -> None:
        """Let a stream, or all of them, have its turn again."""
        if stream is None:
            self._pending.update(self._blocked)
            self._blocked.clear()
        elif stream in self._blocked:
            del self._blocked[stream]
            self._pending[stream] = None
        self.schedule()

    def schedule(self) -> None:
        """Send at the next turn of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._pump)

    def flush(self) -> None:
        """Hand over what the protocol has written."""
        data = self._h2.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Send what is written, and close."""
        self.flush()
        self._pending.clear()
        self._blocked.clear()
        if self.transport is not None:
            self.transport.close()

    def _pump(self) -> None:
        self._is_scheduled = False
        self.flush()
        while self._pending and not self.is_paused:
            for stream in list(self._pending):
                self._send_frame(stream)
            self.flush()

    def _send_frame(self, stream: Http2Stream) -> None:
        if self._streams.get(stream.id) is not stream or not stream.has_work:
            self._pending.pop(stream, None)
            return
        data: bytes | memoryview = b""
        if stream.queued_bytes:
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room <= 0:
                del self._pending[stream]
                self._blocked[stream] = None
                return
            data = stream.take(room)
        is_last = stream.request_ended and not stream.queued_bytes
        self._h2.send_data(stream.id, data, end_stream=is_last)
        stream.end_was_sent = is_last
        if not stream.queued_bytes:
            self._pending.pop(stream, None)
