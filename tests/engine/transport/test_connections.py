"""Connecting and sharing: names, failures, TLS, reuse."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import TransportError
from durably.engine.transport.http import HttpTransport
from durably.engine.transport.options import HttpOptions
from tests.acceptance.application import endpoint_app
from tests.engine.transport.driver import HEADERS, http_transport, start
from tests.engine.transport.h2_peer import h2_peer
from tests.engine.transport.peers import hypercorn_server, make_certificate


async def test_deployments_of_an_authority_share_connections():
    """Two paths at one authority need one connection."""
    async with h2_peer() as peer:
        connections = Connections(HttpOptions())
        for path in ("/a", "/b"):
            await HttpTransport(connections, peer.uri + path).open("/invoke/S/h", HEADERS)
        assert peer.accepted == 1
        connections.close()


async def test_those_who_come_meanwhile_share_one_connection():
    """Fifty opens at once dial once."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        await asyncio.gather(*(transport.open("/invoke/S/h", HEADERS) for _ in range(50)))
        assert peer.accepted == 1


async def test_those_who_come_meanwhile_share_one_failure():
    """Fifty opens to nobody try once and fail together."""
    tries = 0

    async def resolver(host: str, port: int) -> list[str]:
        nonlocal tries
        tries += 1
        return ["127.0.0.1"]

    transport = HttpTransport(Connections(HttpOptions(), resolver=resolver), "http://nobody.example:9")
    failures = await asyncio.gather(
        *(transport.open("/invoke/S/h", HEADERS) for _ in range(50)), return_exceptions=True
    )
    assert {type(failure) for failure in failures} == {TransportError}
    assert tries == 1


async def test_the_next_address_is_tried():
    """A name with an address where nobody listens and one where somebody does is reached."""

    async def resolver(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async with h2_peer() as peer:
        connections = Connections(HttpOptions(), resolver=resolver)
        port = peer.uri.rpartition(":")[2]
        await HttpTransport(connections, f"http://two.example:{port}").open("/invoke/S/h", HEADERS)
        assert peer.accepted == 1
        connections.close()


async def test_a_peer_that_says_nothing_is_given_up():
    """Connected is not enough: HTTP/2 must have been spoken within the connect timeout."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with http_transport(uri, connect_timeout_s=0.05) as transport:
        with pytest.raises(TransportError, match=r"within 0\.05 s"):
            await transport.open("/invoke/S/h", HEADERS)
    server.close()


async def test_an_unknown_certificate_is_refused(tmp_path: Path):
    """A self-signed certificate that nobody vouched for gives a TLS failure with a hint."""
    async with (
        hypercorn_server(endpoint_app, certificate=make_certificate(tmp_path)) as uri,
        http_transport(uri) as transport,
    ):
        with pytest.raises(TransportError, match="TLS with") as caught:
            await transport.open("/invoke/S/h", HEADERS)
        assert caught.value.hint is not None


async def test_an_unknown_name_is_told():
    """A name that does not resolve is a failure, not an exception of the resolver."""

    async def resolver(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    transport = HttpTransport(Connections(HttpOptions(), resolver=resolver), "http://nowhere.example")
    with pytest.raises(TransportError, match="Name or service not known"):
        await transport.open("/invoke/S/h", HEADERS)


async def test_close_fails_what_is_open():
    """Open exchanges fail, and nothing connects any more."""
    async with hypercorn_server(endpoint_app) as uri:
        connections = Connections(HttpOptions())
        transport = HttpTransport(connections, uri)
        attempt = await start(transport, "Probe/waits")
        await attempt.stream.response()
        connections.close()
        with pytest.raises(TransportError, match="closed by the engine"):
            await attempt.drive()
        with pytest.raises(TransportError, match="stopped"):
            await transport.open("/invoke/S/h", HEADERS)
        await asyncio.sleep(0.01)


async def test_close_during_the_connecting_is_a_failure():
    """Whoever waits for a connection learns that the engine stopped; the waiting task is not cancelled."""

    async def resolver(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    connections = Connections(HttpOptions(), resolver=resolver)
    opening = asyncio.create_task(HttpTransport(connections, "http://slow.example").open("/invoke/S/h", HEADERS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connections.close()
    with pytest.raises(TransportError, match="stopped"):
        await opening
