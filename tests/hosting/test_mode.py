"""The choice of mode by the markers that were measured on real servers."""

from __future__ import annotations

from typing import Any

import pytest

from durably.hosting.mode import mode_of_asgi, mode_of_rsgi, mode_of_wsgi
from durably.protocol.manifest import ProtocolMode

BIDI = ProtocolMode.BIDI_STREAM
RR = ProtocolMode.REQUEST_RESPONSE


def scope(http_version: str | None, **asgi: str) -> dict[str, Any]:
    """Build the part of a scope that the rule looks at."""
    found: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0", **asgi}}
    if http_version is not None:
        found["http_version"] = http_version
    return found


@pytest.mark.parametrize(
    ("server", "seen", "mode"),
    [
        ("hypercorn h2c", scope("2", spec_version="2.1"), BIDI),
        ("granian h2c", scope("2", spec_version="2.3"), BIDI),
        ("uvicorn zttp h2", scope("2", spec_version="2.3"), BIDI),
        ("gunicorn asgi h2", scope("2", spec_version="2.4"), BIDI),
        ("a server that writes 2.0", scope("2.0", spec_version="2.4"), BIDI),
        ("a server with HTTP/3", scope("3", spec_version="2.4"), BIDI),
        ("hypercorn h1", scope("1.1", spec_version="2.1"), RR),
        ("uvicorn h1", scope("1.1", spec_version="2.3"), RR),
        ("behind a default nginx", scope("1.0", spec_version="2.3"), RR),
        ("daphne over TLS", scope("2"), RR),
        ("daphne h1", scope("1.1"), RR),
        ("no http_version at all", scope(None, spec_version="2.3"), RR),
    ],
)
def test_asgi_markers(server: str, seen: dict[str, Any], mode: ProtocolMode):
    """Streaming is claimed exactly where full duplex was measured, above all not on daphne and behind nginx."""
    assert mode_of_asgi(seen) is mode, server


def test_a_scope_without_asgi_information_is_request_response():
    """A bare scope, as some test clients send, does not claim streaming."""
    assert mode_of_asgi({"type": "http", "http_version": "2"}) is RR


@pytest.mark.parametrize("override", list(ProtocolMode))
def test_an_override_wins(override: ProtocolMode):
    """Where the rule cannot see a buffering proxy, the setting decides, in both directions."""
    assert mode_of_asgi(scope("1.1", spec_version="2.3"), override) is override
    assert mode_of_asgi(scope("2", spec_version="2.3"), override) is override


def test_rsgi_streams_on_http2_only():
    """RSGI has no spec version: the HTTP version alone decides."""

    class Rsgi:
        def __init__(self, http_version: str) -> None:
            self.http_version = http_version

    assert mode_of_rsgi(Rsgi("2")) is BIDI
    assert mode_of_rsgi(Rsgi("1.1")) is RR
    assert mode_of_rsgi(Rsgi("2"), RR) is RR


def test_wsgi_never_streams():
    """A WSGI response starts after the handler stopped, whatever the server's protocol."""
    assert mode_of_wsgi() is RR
