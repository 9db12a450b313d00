"""Decides between streaming and request-response from what the application sees of its server.

Owns the measured rule. A server that buffers the request, or a proxy in front that speaks HTTP/1.0 or 1.1 to it,
would make a streaming deployment hang: the runtime waits for answers that the handler is never started for. So
streaming is claimed only where full duplex was measured to work, and everything else is request-response, which
works everywhere.

| what the application sees | mode |
|---|---|
| an explicit override | that |
| ASGI, HTTP/2 or 3, and `spec_version` in `scope["asgi"]` | streaming |
| ASGI, HTTP/2, no `spec_version` (daphne buffers the request) | request-response |
| ASGI, HTTP/1.0 (a default nginx) or 1.1 | request-response |
| RSGI, HTTP/2 | streaming |
| WSGI, whatever `SERVER_PROTOCOL` says | request-response |

The rule cannot see a buffering proxy that itself speaks HTTP/2 to the application, nor a middleware that reads the
body first. Both need the override.

Source: ours, docs/design; service protocol, "HTTP versions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from durably.protocol.manifest import ProtocolMode

__all__ = ["RsgiScope", "mode_of_asgi", "mode_of_rsgi", "mode_of_wsgi"]

_DUPLEX_MAJOR_VERSIONS: Final = ("2", "3")


class RsgiScope(Protocol):
    """The one attribute of an RSGI scope that matters here."""

    http_version: str


def mode_of_asgi(scope: Mapping[str, Any], override: ProtocolMode | None = None) -> ProtocolMode:
    """Choose the mode for a request with this ASGI scope.

    Args:
        scope: An `http` scope. Mounting it under a prefix changes nothing that is looked at.
        override: Wins when given.
    """
    if override is not None:
        return override
    if str(scope.get("http_version", "1.1")).split(".", 1)[0] not in _DUPLEX_MAJOR_VERSIONS:
        return ProtocolMode.REQUEST_RESPONSE
    if "spec_version" not in scope.get("asgi", ()):
        return ProtocolMode.REQUEST_RESPONSE
    return ProtocolMode.BIDI_STREAM


def mode_of_rsgi(scope: RsgiScope, override: ProtocolMode | None = None) -> ProtocolMode:
    """Choose the mode for a request with this RSGI scope. `override` wins when given."""
    if override is not None:
        return override
    if scope.http_version.split(".", 1)[0] in _DUPLEX_MAJOR_VERSIONS:
        return ProtocolMode.BIDI_STREAM
    return ProtocolMode.REQUEST_RESPONSE


def mode_of_wsgi() -> ProtocolMode:
    """Give the only mode that a WSGI server can serve: the response starts after the handler stopped."""
    return ProtocolMode.REQUEST_RESPONSE
