"""The limits of connections to services.

Owns the figures and why they are what they are. Those that the real server documents are the same here.

Source: service protocol, "HTTP versions".
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from durably.engine.transport.addresses import AddressPolicy
from durably.engine.transport.signing import SigningKey

__all__ = ["HttpOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How the engine connects to services over HTTP.

    Attributes:
        addresses: Where services may be.
        tls: Makes the context that verifies certificates of https services; the system's authorities unless given.
            Called once for each list of protocols that is offered, because a context has room for one list only;
            has to make a new one each time, for example `partial(ssl.create_default_context, cafile="ca.pem")`.
        identity: Signs every request, so that endpoints with `identity_keys` accept this engine and nobody else.
        connect_timeout_s: For name, connection, TLS and the first sign of HTTP/2 together.
        ping_interval_s: Silence on an HTTP/2 connection with open streams before it is asked for a sign.
        ping_timeout_s: And how long it may take to give one.
        idle_timeout_s: How long a connection without streams is kept.
        idle_timeout_http_11_s: The same for HTTP/1.1, below the 5 s after which many servers close it themselves.
        max_streams: At once on one HTTP/2 connection; the peer's own limit counts if it is lower.
        max_requests: On one HTTP/2 connection in its life. Web servers close it, streams and all, after as few as
            1,000; a new one is taken before that.
        stream_window_bytes: How much of one response may arrive before it is read.
        connection_window_bytes: The same of a connection; given back on arrival, so that no stream holds up another.
        max_resets: Streams that a peer may reset in `budget_period_s`.
        max_control_frames: SETTINGS, PING, PRIORITY and unknown frames in `budget_period_s`.
        max_empty_frames: DATA frames without data on one stream.
        budget_period_s: The period of these budgets.
    """

    addresses: AddressPolicy = field(default_factory=AddressPolicy)
    tls: Callable[[], ssl.SSLContext] | None = None
    identity: SigningKey | None = None
    connect_timeout_s: float = 10.0
    ping_interval_s: float = 40.0
    ping_timeout_s: float = 20.0
    idle_timeout_s: float = 300.0
    idle_timeout_http_11_s: float = 4.0
    max_streams: int = 128
    max_requests: int = 900
    stream_window_bytes: int = 1024 * 1024
    connection_window_bytes: int = 5 * 1024 * 1024
    max_resets: int = 100
    max_control_frames: int = 1000
    max_empty_frames: int = 1000
    budget_period_s: float = 10.0
