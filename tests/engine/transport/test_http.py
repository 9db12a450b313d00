"""What a request over HTTP may hold, and how a deployment's own path joins it."""

from __future__ import annotations

import pytest

from durably.engine.transport.addresses import AddressError
from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import FailureKind, TransportError
from durably.engine.transport.http import HttpTransport
from durably.engine.transport.options import HttpOptions
from tests.engine.transport.driver import HEADERS, http_transport
from tests.engine.transport.h2_peer import h2_peer

BAD = [
    ("x", "a\r\nhost: evil"),
    ("x", "a\nb"),
    ("x", "a\x00b"),
    ("x", "\x7f"),
    ("x", "ä"),
    ("x y", "a"),
    ("x:", "a"),
    (":path", "/admin"),
    ("", "a"),
    ("X-Upper", "a"),
    ("host", "evil"),
    ("transfer-encoding", "chunked"),
    ("content-length", "5"),
    ("connection", "close"),
    ("upgrade", "h2c"),
    ("te", "trailers"),
]


@pytest.mark.parametrize("header", BAD, ids=repr)
async def test_headers_that_break_out_are_refused(header: tuple[str, str]):
    """Nothing is sent, not even a connection is made."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        with pytest.raises(TransportError, match="cannot be sent") as caught:
            await transport.open("/invoke/S/h", [*HEADERS, header])
        assert caught.value.kind is FailureKind.VIOLATION
        assert peer.accepted == 0


@pytest.mark.parametrize("path", ["no-slash", "/a b", "/a\r\nb", "/ä"])
async def test_paths_that_break_out_are_refused(path: str):
    """A path arrives percent-encoded or not at all."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        with pytest.raises(TransportError, match="percent-encoded"):
            await transport.open(path, HEADERS)
        assert peer.accepted == 0


async def test_a_closed_transport_opens_nothing():
    """Its connections stay for the others of the authority."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        await transport.close()
        with pytest.raises(TransportError, match="stopped"):
            await transport.open("/invoke/S/h", HEADERS)


async def test_addresses_can_be_checked_ahead():
    """Registration learns of a refused address, or an unknown name, before anything is asked."""

    async def resolver(host: str, port: int) -> list[str]:
        if host == "unknown.example":
            raise OSError("no such name")
        return ["10.0.0.1"]

    connections = Connections(HttpOptions(), resolver=resolver)
    for host, text in (("private.example", "private"), ("unknown.example", "not known")):
        transport = HttpTransport(connections, f"http://{host}")
        assert transport.address.host == host
        with pytest.raises(AddressError, match=text):
            await transport.check_address()
