"""Clients that speak HTTP/2 and HTTP/1.1 by hand, because well-behaved ones cannot cut, stall and half-close."""

from __future__ import annotations

import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h11

from tests.hosting.wire import V6

READ_BYTES: Final = 1024 * 1024


class Peer(ABC):
    """What both clients share: a socket, and an answer that comes in piece by piece.

    Attributes:
        sent: Bytes that went out on the connection.
        received: Bytes that came in on it.
        sent_limit: Cut the connection after that many bytes out; None never.
        received_limit: Cut it after that many bytes in; None never.
        cuts_hard: Whether a cut is a TCP reset, or else an orderly close.
    """

    def __init__(self, port: int, *, sent_limit: int | None, received_limit: int | None, cuts_hard: bool) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.has_ended = False
        self.was_cut = False
        self.sent = 0
        self.received = 0
        self.sent_limit = sent_limit
        self.received_limit = received_limit
        self.cuts_hard = cuts_hard

    def until(self, condition: Callable[[], bool], timeout_s: float = 5) -> float:
        """Read until `condition` holds; gives the seconds that took.

        Raises:
            TimeoutError: It did not hold in time.
        """
        started_s = time.monotonic()
        while not condition():
            left_s = started_s + timeout_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"status {self.status}, {len(self.body)} bytes, ended {self.has_ended}")
            self.pump(left_s)
        return time.monotonic() - started_s

    def finished(self, timeout_s: float = 10) -> bytes:
        """Read the whole answer."""
        self.until(lambda: self.has_ended or self.was_cut, timeout_s)
        return bytes(self.body)

    @abstractmethod
    def pump(self, timeout_s: float) -> None:
        """Read what is there, or wait for something."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection in an orderly way."""
        self.socket.close()

    def abort(self) -> None:
        """Close the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _read(self, timeout_s: float) -> bytes:
        size = READ_BYTES if self.received_limit is None else self.received_limit - self.received
        if self.was_cut or size <= 0:
            self._cut()
            return b""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(size)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            return b""
        if not data:
            self.was_cut = True
        self.received += len(data)
        return data

    def _write(self, data: bytes) -> None:
        if self.was_cut:
            return
        room = len(data) if self.sent_limit is None else max(0, self.sent_limit - self.sent)
        self.socket.settimeout(10)
        try:
            self.socket.sendall(data[:room])
        except (BrokenPipeError, ConnectionResetError):
            self.was_cut = True
        self.sent += len(data[:room])
        if room < len(data):
            self._cut()

    def _cut(self) -> None:
        if not self.was_cut:
            self.was_cut = True
            if self.cuts_hard:
                self.abort()
            else:
                self.close()


class H2Peer(Peer):
    """One stream on an HTTP/2 connection of its own, with prior knowledge."""

    def __init__(
        self, port: int, *, sent_limit: int | None = None, received_limit: int | None = None, cuts_hard: bool = False
    ) -> None:
        """Connect and exchange settings."""
        super().__init__(port, sent_limit=sent_limit, received_limit=received_limit, cuts_hard=cuts_hard)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(1 << 30)
        self.stream = 0
        self._flush()

    def open(
        self, path: str, headers: Sequence[tuple[str, str]] = (("content-type", V6),), method: str = "POST"
    ) -> None:
        """Start a request and leave its body open."""
        self.stream = self.connection.get_next_available_stream_id()
        self.status, self.headers, self.body, self.has_ended = None, {}, bytearray(), False
        pseudo = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "127.0.0.1")]
        self.connection.send_headers(self.stream, [*pseudo, *headers], end_stream=method == "GET")
        self._flush()

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send body, as far as the peer's windows allow; reads meanwhile."""
        view = memoryview(data)
        while view and not self.has_ended and not self.was_cut:
            window = self.connection.local_flow_control_window(self.stream)
            size = min(window, self.connection.max_outbound_frame_size, len(view))
            if size <= 0:
                self._flush()
                self.pump(10)
                continue
            self.connection.send_data(self.stream, bytes(view[:size]))
            view = view[size:]
        if end and not self.has_ended and not self.was_cut:
            self.connection.end_stream(self.stream)
        self._flush()

    def reset(self) -> None:
        """Cancel the stream and keep the connection."""
        self.connection.reset_stream(self.stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def pump(self, timeout_s: float) -> None:
        """Read what is there, or wait for something."""
        data = self._read(timeout_s)
        if not data:
            return
        for event in self.connection.receive_data(data):
            self._apply(event)
        self._flush()

    def _apply(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=self.stream, headers=headers):
                self.headers = {str(name): str(value) for name, value in headers or []}
                self.status = int(self.headers[":status"])
            case h2.events.DataReceived(stream_id=self.stream):
                self.body += event.data or b""
                if event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, self.stream)
            case h2.events.StreamEnded(stream_id=self.stream):
                self.has_ended = True
            case h2.events.StreamReset(stream_id=self.stream) | h2.events.ConnectionTerminated():
                self.was_cut = True
            case _:
                return

    def _flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self._write(data)


class H1Peer(Peer):
    """One request at a time on an HTTP/1.1 connection, its body chunked."""

    def __init__(
        self, port: int, *, sent_limit: int | None = None, received_limit: int | None = None, cuts_hard: bool = False
    ) -> None:
        """Connect."""
        super().__init__(port, sent_limit=sent_limit, received_limit=received_limit, cuts_hard=cuts_hard)
        self.connection = h11.Connection(h11.CLIENT)

    def open(
        self, path: str, headers: Sequence[tuple[str, str]] = (("content-type", V6),), method: str = "POST"
    ) -> None:
        """Start a request and leave its body open."""
        framing = [("transfer-encoding", "chunked")] if method == "POST" else []
        self.status, self.headers, self.body, self.has_ended = None, {}, bytearray(), False
        self._send(h11.Request(method=method, target=path, headers=[("host", "127.0.0.1"), *headers, *framing]))
        if method == "GET":
            self._send(h11.EndOfMessage())

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send body."""
        if data:
            self._send(h11.Data(data=data))
        if end:
            self._send(h11.EndOfMessage())

    def pump(self, timeout_s: float) -> None:
        """Read what is there, or wait for something."""
        data = self._read(timeout_s)
        if not data:
            return
        self.connection.receive_data(data)
        while True:
            event: Any = self.connection.next_event()
            match event:
                case h11.Response():
                    self.status = event.status_code
                    self.headers = {name.decode(): value.decode() for name, value in event.headers}
                case h11.Data():
                    self.body += event.data
                case h11.EndOfMessage():
                    self.has_ended = True
                case _:
                    return

    def _send(self, event: Any) -> None:
        self._write(self.connection.send(event) or b"")
