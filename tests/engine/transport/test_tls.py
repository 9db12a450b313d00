"""TLS with a real server: which version of HTTP is offered to whom, on contexts that do not get in each other's way."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from pathlib import Path

import pytest

from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import HttpVersion
from durably.engine.transport.http import HttpTransport
from durably.engine.transport.options import HttpOptions
from durably.errors import ConfigurationError
from tests.acceptance.application import endpoint_app
from tests.engine.transport.driver import HEADERS, start
from tests.engine.transport.peers import hypercorn_server, make_certificate, trusting


async def test_each_pool_offers_its_own_versions(tmp_path: Path):
    """With connections of both kinds made at the same time, all of one kind get HTTP/2 and all others HTTP/1.1."""
    certificate = make_certificate(tmp_path)
    async with hypercorn_server(endpoint_app, certificate=certificate) as uri:
        connections = Connections(HttpOptions(tls=partial(trusting, certificate[0])))

        async def version(*, use_http_11: bool) -> HttpVersion:
            transport = HttpTransport(connections, uri, use_http_11=use_http_11)
            attempt = await start(transport, "Probe/steps", b"3")
            assert await attempt.drive() == b"3"
            return (await attempt.stream.response()).http_version

        kinds = [number % 2 == 0 for number in range(12)]
        found = await asyncio.gather(*(version(use_http_11=kind) for kind in kinds))
        assert found == [HttpVersion.HTTP_1_1 if kind else HttpVersion.HTTP_2 for kind in kinds]
        connections.close()
        await asyncio.sleep(0.01)


async def test_a_shared_context_is_refused(tmp_path: Path):
    """A function that gives one context for both kinds of connections would have one offer what the other needs."""
    certificate = make_certificate(tmp_path)
    shared = trusting(certificate[0])
    async with hypercorn_server(endpoint_app, certificate=certificate) as uri:
        connections = Connections(HttpOptions(tls=lambda: shared))
        stream = await HttpTransport(connections, uri).open("/invoke/Probe/steps", HEADERS)
        await stream.abort()
        with pytest.raises(ConfigurationError, match="same context twice"):
            await HttpTransport(connections, uri, use_http_11=True).open("/invoke/Probe/steps", HEADERS)
        connections.close()
        await asyncio.sleep(0.01)


def test_contexts_are_made_once_for_each_offer():
    """Reading the authorities takes long; it is done once for each list of versions, and each has its own context."""
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(ssl.create_default_context())
        return made[-1]

    connections = Connections(HttpOptions(tls=make))
    first, second = connections.tls_context(True), connections.tls_context(False)
    assert connections.tls_context(True) is first
    assert connections.tls_context(False) is second
    assert made == [first, second]
