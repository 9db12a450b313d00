"""What this client says and accepts in HTTP/2, as `h2` wants it said.

Owns the settings of a connection, the one deviation from `h2`, and the reading of a response's head. Sans-IO.

Source: RFC 9113, sections 6.5 and 6.8.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event, ResponseReceived
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame, GoAwayFrame

from durably.engine.transport.contract import HttpVersion, HttpVersionError, ResponseHead
from durably.engine.transport.options import HttpOptions

__all__ = ["LAST_STREAM_ID", "ClientProtocol", "head_of", "not_http2"]

LAST_STREAM_ID: Final = 2**31 - 1
_MAX_HEADER_LIST_BYTES: Final = 64 * 1024
_DEFAULT_WINDOW_BYTES: Final = 65535  # of a connection, before the first WINDOW_UPDATE
_CONFIGURATION: Final = H2Configuration(
    client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)


class ClientProtocol(H2Connection):
    """`h2`, except that streams which the peer still processes outlive its GOAWAY."""

    def __init__(self) -> None:
        """Use our configuration."""
        super().__init__(_CONFIGURATION)

    def greet(self, options: HttpOptions) -> None:
        """Write the preface, the settings and the connection's window."""
        self.local_settings: Settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: options.stream_window_bytes,
                SettingCodes.MAX_HEADER_LIST_SIZE: _MAX_HEADER_LIST_BYTES,
            },
        )
        del self.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]  # some servers do not know it
        self.initiate_connection()
        if options.connection_window_bytes > _DEFAULT_WINDOW_BYTES:
            self.increment_flow_control_window(options.connection_window_bytes - _DEFAULT_WINDOW_BYTES)

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def head_of(event: ResponseReceived) -> ResponseHead:
    """Read a response's head; a status that is no number is 0."""
    status = 0
    headers: list[tuple[str, str]] = []
    for name, value in event.headers or ():
        if name == b":status":
            status = int(value) if value.isdigit() else 0
        else:
            headers.append((name.decode("latin-1"), value.decode("latin-1")))
    return ResponseHead(status, tuple(headers), HttpVersion.HTTP_2)


def not_http2(text: str) -> HttpVersionError:
    """Give the failure of a connection that does not speak HTTP/2, with what helps."""
    return HttpVersionError(
        text,
        discovery_code="META0014",
        hint="Register it with use_http_11: true, or serve it with HTTP/2 (hypercorn, granian).",
    )
