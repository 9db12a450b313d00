"""The way to a deployment over HTTP.

Owns what a request looks like on the wire: the path below the deployment's own, its query, the headers that are
allowed. Which version of HTTP carries it is the connection's business.

Rules
1. A header whose name is no token, or whose value has CR, LF or NUL, is refused before anything is sent; so is one
   that would change the framing or the addressee.
2. With an identity every request is signed, and headers that claim to be its signature are dropped.
3. Redirects are answers like any other: nothing is followed.

Source: service protocol, "Invoke request headers" and "HTTP versions".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from durably.engine.transport.addresses import AddressError, ServiceAddress, read_address, resolve
from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import AttemptStream, DiscoveryResult, FailureKind, TransportError
from durably.engine.transport.discovery import fetch_manifest
from durably.engine.transport.http2 import Http2Connection

__all__ = ["HttpTransport"]

_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_PATH: Final = re.compile(r"/[!-~]*")
_NOT_OURS: Final = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class HttpTransport:
    """Reaches the deployment at one URI. Connections are shared with other deployments of its authority."""

    def __init__(self, connections: Connections, uri: str, *, use_http_11: bool = False) -> None:
        """Reach `uri`.

        Raises:
            AddressError: It is no address of a deployment.
        """
        self._address = read_address(uri)
        self._connections = connections
        self._pool = connections.pool(self._address, use_http_11=use_http_11)
        self._is_closed = False

    @property
    def address(self) -> ServiceAddress:
        """Where it is."""
        return self._address

    async def check_address(self) -> None:
        """Look the host up and check its addresses, without connecting.

        Raises:
            AddressError: The engine does not connect there.
        """
        try:
            await resolve(self._address, self._connections.options.addresses, resolver=self._connections.resolver)
        except AddressError:
            raise
        except OSError as error:
            raise AddressError(f"The host {self._address.host!r} is not known.") from error

    async def open(
        self, path: str, headers: Sequence[tuple[str, str]], *, streaming: bool = True, method: str = "POST"
    ) -> AttemptStream:
        """Start an exchange; see `Transport.open`."""
        del streaming  # what is written goes out at once either way
        if self._is_closed:
            raise TransportError("The engine has stopped.")
        expected_type = _check(headers)
        address = self._address
        target = f"{address.path}{path}{address.query}"
        if not _PATH.fullmatch(target):
            raise TransportError(
                "The path of a request holds what must be percent-encoded.", kind=FailureKind.VIOLATION
            )
        identity = self._connections.options.identity
        if identity is not None:
            headers = identity.signed(path, headers)
        has_body = method != "GET"
        connection = await self._pool.acquire()
        if isinstance(connection, Http2Connection):
            pseudo = [
                (":method", method),
                (":scheme", address.scheme),
                (":authority", address.authority),
                (":path", target),
            ]
            return connection.open([*pseudo, *headers], expected_type, has_body=has_body)
        framing = [("transfer-encoding", "chunked")] if has_body else []
        return connection.open(method, target, [("host", address.authority), *headers, *framing], expected_type)

    async def discover(self, headers: Sequence[tuple[str, str]] = ()) -> DiscoveryResult:
        """Ask for the manifest; see `Transport.discover`."""
        return await fetch_manifest(self, headers)

    async def close(self) -> None:
        """Open nothing more. Connections stay for others; `Connections.close` ends them."""
        self._is_closed = True


def _check(headers: Sequence[tuple[str, str]]) -> str | None:
    expected_type = None
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or name in _NOT_OURS or not value.isascii():
            raise TransportError(
                f"The header {name[:80]!r} cannot be sent.",
                kind=FailureKind.VIOLATION,
                hint="Names are lower-case tokens, values have no control characters, framing is the transport's.",
            )
        if name == "content-type":
            expected_type = value
    return expected_type
