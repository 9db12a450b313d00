"""What the client says first, and how it reads heads and GOAWAY; without a socket."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RemoteSettingsChanged, ResponseReceived
from h2.settings import SettingCodes

from durably.engine.transport.http2_protocol import ClientProtocol, head_of, not_http2
from durably.engine.transport.options import HttpOptions


def pair() -> tuple[ClientProtocol, H2Connection, RemoteSettingsChanged]:
    """Connect a client and a server; gives what the server learned of the client."""
    client, server = ClientProtocol(), H2Connection(H2Configuration(client_side=False))
    client.greet(HttpOptions(stream_window_bytes=100_000, connection_window_bytes=200_000))
    server.initiate_connection()
    events = server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    return client, server, next(event for event in events if isinstance(event, RemoteSettingsChanged))


def test_the_greeting_has_our_windows():
    """Streams and the connection have the windows of the options; pushes are refused."""
    _, server, greeting = pair()
    changed = {code: setting.new_value for code, setting in greeting.changed_settings.items()}
    assert changed[SettingCodes.INITIAL_WINDOW_SIZE] == 100_000
    assert changed[SettingCodes.ENABLE_PUSH] == 0
    assert server.outbound_flow_control_window == 200_000


def test_streams_outlive_a_goaway():
    """What the peer sends on a stream that it accepted arrives, though it said goodbye before."""
    client, server, _ = pair()
    client.send_headers(1, [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")])
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200")])
    goodbye = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01" + bytes(4)
    data = goodbye + server.data_to_send()
    server.send_data(1, b"late")
    kinds = [type(event) for event in client.receive_data(data + server.data_to_send())]
    assert kinds == [ConnectionTerminated, ResponseReceived, DataReceived]


def test_a_head_is_read():
    """Status and headers; bytes that are no ASCII are kept, a status that is no number is 0."""
    event = ResponseReceived(stream_id=1, headers=[(b":status", b"204"), (b"x", b"\xe4")])
    assert (head_of(event).status, head_of(event).headers) == (204, (("x", "ä"),))
    assert head_of(ResponseReceived(stream_id=1, headers=[(b":status", b"ok")])).status == 0


def test_the_failure_names_the_setting():
    """Whoever registers a deployment learns how to reach it."""
    failure = not_http2("It does not.")
    assert failure.discovery_code == "META0014"
    assert "use_http_11" in str(failure)
