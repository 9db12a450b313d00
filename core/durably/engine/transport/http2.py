"""A client's HTTP/2 connection on the running event loop.

Owns frames, windows, pings and limits of one connection; `h2` knows the protocol and this module the bytes. Streams
take turns, one frame each, so a large journal on one does not hold up another.

| event | effect |
|---|---|
| SETTINGS of the peer, the first | the connection is ready |
| `write` on a stream | sent at the next turn of the loop, together with all others of this turn |
| DATA | its bytes go back to the connection's window at once, to the stream's window when they were read |
| END_STREAM before the request ended | the stream is reset: some servers fail on what comes later |
| RST_STREAM | that stream fails; after REFUSED_STREAM it can be tried again at once |
| GOAWAY | no new streams; those that the peer will not process fail and can be tried again at once; a ping |
| connection lost after GOAWAY | all streams fail; those without a byte of a body can be tried again at once |
| connection lost after it has served | all streams fail; those without a head can be tried again at once |
| connection lost before, no answer to a ping, HTTP/2 broken, a budget used up | all streams fail |
| no stream for 5 minutes | closed |

Source: RFC 9113; service protocol, "HTTP versions".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.exceptions import StreamClosedError

from durably.engine.transport.budgets import Budget
from durably.engine.transport.contract import FailureKind, TransportError
from durably.engine.transport.http2_protocol import LAST_STREAM_ID, ClientProtocol, head_of, not_http2
from durably.engine.transport.http2_sending import Sender
from durably.engine.transport.http2_streams import Http2Stream
from durably.engine.transport.keepalive import Keepalive, Verdict
from durably.engine.transport.options import HttpOptions

__all__ = ["Http2Connection"]

_PING: Final = b"durably!"


class Http2Connection(asyncio.Protocol):
    """One connection; use it once `ready` is done.

    Attributes:
        ready: Done when the peer has spoken HTTP/2; fails with a `TransportError`.
        is_closed: Whether it is gone.
    """

    def __init__(self, options: HttpOptions, on_closed: Callable[[Http2Connection], None]) -> None:
        """Prepare; `on_closed` is called when it will take no more streams, and again when it is gone."""
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._on_closed = on_closed
        self._h2 = ClientProtocol()
        self._streams: dict[int, Http2Stream] = {}
        self._sender = Sender(self._h2, self._streams)
        self._is_draining = False
        self._untold_bytes = 0
        self._requests = 0
        self._has_served = False
        self._is_left = False
        now = self._loop.time()
        self._keepalive = Keepalive(options, now)
        self._timer: asyncio.TimerHandle | None = None
        self._resets = Budget(options.max_resets, options.budget_period_s, now)
        self._control_frames = Budget(options.max_control_frames, options.budget_period_s, now)
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.is_closed: bool = False

    @property
    def can_open(self) -> bool:
        """Whether it takes one more stream now."""
        return not self._is_spent and len(self._streams) < self.max_streams

    @property
    def max_streams(self) -> int:
        """How many streams it takes at once."""
        return min(self._options.max_streams, self._h2.remote_settings.max_concurrent_streams)

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def _is_spent(self) -> bool:
        return self.is_closed or self._is_draining or self._requests >= self._options.max_requests

    def open(self, headers: Sequence[tuple[str, str]], expected_type: str | None, *, has_body: bool) -> Http2Stream:
        """Open a stream; `can_open` was true. `headers` are complete, pseudo-headers first."""
        stream_id = self._h2.get_next_available_stream_id()
        stream = Http2Stream(stream_id, expected_type, self)
        self._h2.send_headers(stream_id, headers, end_stream=not has_body)
        if not has_body:
            stream.request_ended = stream.end_was_sent = True
        self._streams[stream_id] = stream
        self._requests += 1
        if self._requests >= self._options.max_requests or stream_id + 2 >= LAST_STREAM_ID:
            self._drain()
        self._sender.schedule()
        return stream

    def close(self, failure: TransportError | None = None) -> None:
        """Say goodbye and close; open streams fail with `failure`."""
        if self.is_closed:
            return
        self._h2.close_connection(ErrorCodes.NO_ERROR)
        self._break_off(failure or TransportError("The connection was closed by the engine."))

    # What streams ask for.

    def request_grew(self, stream: Http2Stream) -> None:
        """Send what the stream holds at the next turn."""
        if not self.is_closed:
            self._sender.add(stream)

    def response_taken(self, stream: Http2Stream, size: int) -> None:
        """Give the stream's window back, in large steps."""
        stream.untold_bytes += size
        if stream.untold_bytes * 2 >= self._options.stream_window_bytes and stream.id in self._streams:
            with contextlib.suppress(StreamClosedError):  # its end was read together with what was just taken
                self._h2.increment_flow_control_window(stream.untold_bytes, stream.id)
            stream.untold_bytes = 0
            self._sender.schedule()

    def cancel(self, stream: Http2Stream) -> None:
        """Reset the stream."""
        if self._streams.get(stream.id) is stream:
            self._reset(stream)
            self._sender.schedule()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface."""
        self._sender.transport = cast("asyncio.Transport", transport)
        self._h2.greet(self._options)
        self._sender.flush()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer."""
        if self.is_closed:
            return
        if not self.ready.done() and data.startswith(b"HTTP/"):
            self._break_off(not_http2("The service answered in HTTP/1.1."))
            return
        self._keepalive.received(self._loop.time())
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
        except H2ProtocolError as error:
            text = f"The service broke HTTP/2: {type(error).__name__}."
            if self.ready.done():
                self._break_off(TransportError(text, kind=FailureKind.VIOLATION))
            else:
                self._break_off(not_http2(text))
            return
        self._give_back()

    def pause_writing(self) -> None:
        """Hold back: the socket is full."""
        self._sender.is_paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._sender.is_paused = False
        self._sender.schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is open."""
        if self.ready.done():
            text = f"The connection to the service was lost: {exc or 'closed by the peer'}."
            for stream in [each for each in self._streams.values() if self._is_untouched(each)]:
                stream.fail(TransportError(text, is_refused=True))
            self._lose(TransportError(text))
        else:
            self._lose(not_http2("The service closed the connection before it spoke HTTP/2."))

    # Events.

    def _on_event(self, event: Event) -> None:
        match event:
            case DataReceived():
                self._on_data(event)
            case ResponseReceived():
                stream = self._stream_of(event.stream_id)
                if stream is not None:
                    self._on_head(stream, event)
            case StreamEnded():
                stream = self._stream_of(event.stream_id)
                if stream is not None:
                    self._on_end(stream)
            case StreamReset():
                self._on_reset(event)
            case WindowUpdated():
                stream = self._stream_of(event.stream_id)
                if stream is not None or not event.stream_id:
                    self._sender.window_grew(stream)
            case RemoteSettingsChanged():
                self._spend(self._control_frames, "SETTINGS")
                self._sender.window_grew(None)
                if not self.ready.done():
                    self.ready.set_result(None)
            case PingReceived() | PriorityUpdated() | UnknownFrameReceived():
                self._spend(self._control_frames, "control frames")
            case ConnectionTerminated():
                self._on_goaway(event)
            case _:
                pass  # acknowledgements, trailers and informational heads tell nothing

    def _on_head(self, stream: Http2Stream, event: ResponseReceived) -> None:
        stream.inbound.start(head_of(event))
        if stream.inbound.is_over:
            self.cancel(stream)  # its head is a failure: what follows is of no use
            stream.drop_request()

    def _on_data(self, event: DataReceived) -> None:
        size = event.flow_controlled_length or 0
        self._untold_bytes += size
        stream = self._stream_of(event.stream_id)
        if stream is None:
            return
        data = event.data or b""
        if data:
            stream.inbound.feed(data)
        elif event.stream_ended is None:
            stream.empty_frames += 1
            if stream.empty_frames > self._options.max_empty_frames:
                self._abuse("empty frames")
        if size > len(data):
            self.response_taken(stream, size - len(data))

    def _on_end(self, stream: Http2Stream) -> None:
        self._has_served = True
        stream.inbound.end()
        if stream.end_was_sent:
            self._forget(stream)
        else:
            self.cancel(stream)
        stream.drop_request()

    def _on_reset(self, event: StreamReset) -> None:
        code = event.error_code
        if code != ErrorCodes.NO_ERROR:
            self._spend(self._resets, "resets")
        stream = self._stream_of(event.stream_id)
        if stream is None:
            return
        self._forget(stream)
        name = code.name if isinstance(code, ErrorCodes) else code
        is_refused = code == ErrorCodes.REFUSED_STREAM
        stream.fail(TransportError(f"The service reset the stream ({name}).", is_refused=is_refused))

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        last = event.last_stream_id or 0
        for stream in [stream for stream_id, stream in self._streams.items() if stream_id > last]:
            self._reset(stream)
            stream.fail(TransportError("The service is closing the connection.", is_refused=True))
        if not self.ready.done():
            self._break_off(TransportError("The service closes every connection."))
            return
        self._is_left = True
        self._drain()
        if self._streams:
            self._h2.ping(_PING)  # hypercorn forgets what it accepted, and closes the connection when it hears more

    def _give_back(self) -> None:
        if self.is_closed:
            return
        if self._untold_bytes * 2 >= self._options.connection_window_bytes:
            self._h2.increment_flow_control_window(self._untold_bytes)
            self._untold_bytes = 0
        self._sender.flush()

    # Ending.

    def _is_untouched(self, stream: Http2Stream) -> bool:
        """Whether the end of the connection, by the peer, is no fault of what the stream asked for."""
        if self._is_left:  # hypercorn sends the head of one last stream, and nothing of its body
            return not stream.inbound.has_body
        return self._has_served and not stream.inbound.has_head

    def _stream_of(self, stream_id: int | None) -> Http2Stream | None:
        return self._streams.get(stream_id or 0)

    def _reset(self, stream: Http2Stream) -> None:
        with contextlib.suppress(H2ProtocolError):  # closed by both sides, in an event that is yet to be handled
            self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
        self._forget(stream)

    def _forget(self, stream: Http2Stream) -> None:
        del self._streams[stream.id]
        self._sender.forget(stream)
        self._keepalive.used(self._loop.time())
        if self._is_draining and not self._streams:
            self._loop.call_soon(self.close)

    def _drain(self) -> None:
        if not self._is_draining:
            self._is_draining = True
            self._on_closed(self)
        if not self._streams:
            self._loop.call_soon(self.close)

    def _spend(self, budget: Budget, what: str) -> None:
        if not budget.spend(self._loop.time()):
            self._abuse(what)

    def _abuse(self, what: str) -> None:
        if not self.is_closed:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._break_off(TransportError(f"The service sent too many {what}.", kind=FailureKind.VIOLATION))

    def _break_off(self, failure: TransportError) -> None:
        self._sender.close()
        self._lose(failure)

    def _lose(self, failure: TransportError) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.ready.done():
            self.ready.set_exception(failure)
            self.ready.exception()  # looked at, even if nobody waits any more
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.fail(failure)
        self._on_closed(self)

    # Time.

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._keepalive.period_s, self._look)

    def _look(self) -> None:
        match self._keepalive.look(self._loop.time(), has_streams=bool(self._streams)):
            case Verdict.IDLE:
                self.close()
                return
            case Verdict.LOST:
                self._break_off(TransportError("The service does not answer any more."))
                return
            case Verdict.ASK:
                self._h2.ping(_PING)
                self._sender.flush()
            case Verdict.FINE:
                pass
        self._arm()
