"""Every transport against real servers, with services of ours and of restate-sdk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import restate

from durably.engine.transport.contract import HttpVersion, Transport
from durably.engine.transport.inprocess import InProcessTransport
from durably.engine.transport.manifests import read_manifest
from durably.protocol.manifest import ProtocolMode
from durably.protocol.messages import MessageType
from tests.acceptance.application import endpoint_app
from tests.acceptance.servers import Server
from tests.engine.transport.driver import http_transport, start
from tests.engine.transport.peers import hypercorn_server, make_certificate, trusting, uvicorn_server

peer = restate.Service("Probe")


@peer.handler()
async def steps(ctx: restate.Context, count: int) -> int:
    """Add up the results of that many steps."""
    total = 0
    for index in range(count):
        total += await ctx.run_typed(f"step-{index}", lambda index=index: index)
    return total


@peer.handler()
async def waits(ctx: restate.Context) -> str:
    """Wait for something that never comes."""
    _, promise = ctx.awakeable(type_hint=str)
    return await promise


peer_app = restate.app([peer])
APPS = {"durably": endpoint_app, "restate-sdk": peer_app}
Reach = Callable[[object], AbstractAsyncContextManager[Transport]]


@asynccontextmanager
async def in_process(app: object) -> AsyncIterator[Transport]:
    """Reach `app` without a socket."""
    transport = InProcessTransport(app)
    yield transport
    await transport.close()


@asynccontextmanager
async def h2c(app: object) -> AsyncIterator[Transport]:
    """Reach `app` on hypercorn, HTTP/2 with prior knowledge."""
    async with hypercorn_server(app) as uri, http_transport(uri) as transport:
        yield transport


@asynccontextmanager
async def http_11(app: object) -> AsyncIterator[Transport]:
    """Reach `app` on uvicorn, HTTP/1.1."""
    async with uvicorn_server(app) as uri, http_transport(uri, use_http_11=True) as transport:
        yield transport


REACHES: dict[str, Reach] = {"in process": in_process, "h2c": h2c, "HTTP/1.1": http_11}


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
async def test_an_attempt_streams_both_ways(reach: Reach, app: object):
    """Ten steps are each acknowledged on the stream of one attempt, whoever wrote the service."""
    async with reach(app) as transport:
        attempt = await start(transport, "Probe/steps", b"10")
        assert await attempt.drive() == b"45"


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
async def test_threads_stream_too(reach: Reach):
    """A `def` handler gets its steps acknowledged on one stream."""
    async with reach(endpoint_app) as transport:
        attempt = await start(transport, "PlainProbe/steps", b"5")
        assert await attempt.drive() == b"10"


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
async def test_a_half_closed_request_suspends(reach: Reach, app: object):
    """A handler that waits suspends once the request ended, and the response ends."""
    async with reach(app) as transport:
        attempt = await start(transport, "Probe/waits")
        await attempt.stream.half_close()
        while await attempt.next_messages():
            pass
        assert attempt.said[-1][0] is MessageType.SUSPENSION


@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
async def test_a_deployment_is_discovered(reach: Reach, app: object):
    """The manifest of either SDK is read; streaming is claimed where HTTP/2, or memory, carries it."""
    async with reach(app) as transport:
        result = await transport.discover()
        manifest = read_manifest(result)
        assert "Probe" in [service.name for service in manifest.services]
        is_11 = reach is http_11
        assert result.http_version is (HttpVersion.HTTP_1_1 if is_11 else HttpVersion.HTTP_2)
        assert manifest.protocol_mode is (ProtocolMode.REQUEST_RESPONSE if is_11 else ProtocolMode.BIDI_STREAM)
        assert result.server is not None


@pytest.mark.parametrize("reach", [h2c, http_11])
async def test_a_large_body_goes_both_ways(reach: Reach):
    """A journal of 31 MiB arrives and its echo comes back."""
    body = bytes(1024) * 1024 * 31
    async with reach(endpoint_app) as transport:
        attempt = await start(transport, "Probe/echo", body)
        assert await attempt.drive() == body


async def test_many_attempts_share_a_connection():
    """Two hundred attempts at once run on at most three connections."""
    async with hypercorn_server(endpoint_app, h2_max_concurrent_streams=100) as uri, http_transport(uri) as transport:

        async def one() -> bytes:
            return await (await start(transport, "Probe/steps", b"3")).drive()

        assert await asyncio.gather(*(one() for _ in range(200))) == [b"3"] * 200
        assert transport._pool.connections <= 3


async def test_a_server_that_closes_after_some_requests_fails_nothing():
    """A connection is given up before the server's limit on requests, so no attempt is cut by it."""
    async with (
        hypercorn_server(endpoint_app, keep_alive_max_requests=50) as uri,
        http_transport(uri, max_requests=40) as transport,
    ):

        async def ten() -> list[bytes]:
            return [await (await start(transport, "Probe/steps", b"2")).drive() for _ in range(10)]

        assert await asyncio.gather(*(ten() for _ in range(15))) == [[b"1"] * 10] * 15


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn"])
async def test_tls_negotiates_the_version(server: str, tmp_path: Path):
    """ALPN gives HTTP/2 where the server has it and HTTP/1.1 where not; the certificate is verified."""
    certificate, key = make_certificate(tmp_path)
    if server == "hypercorn":
        serving = hypercorn_server(endpoint_app, certificate=(certificate, key))
    else:
        serving = uvicorn_server(endpoint_app, ssl_certfile=str(certificate), ssl_keyfile=str(key))
    async with serving as uri, http_transport(uri, tls=partial(trusting, certificate)) as transport:
        result = await transport.discover()
        assert result.http_version is (HttpVersion.HTTP_2 if server == "hypercorn" else HttpVersion.HTTP_1_1)
        assert await (await start(transport, "Probe/steps", b"4")).drive() == b"6"


def test_granian_is_served(tmp_path: Path):
    """granian, in a process of its own, over HTTP/2 and over HTTP/1.1."""
    server = Server("granian", tmp_path)
    try:

        async def talk() -> None:
            for use_http_11 in (False, True):
                async with http_transport(f"http://127.0.0.1:{server.port}", use_http_11=use_http_11) as transport:
                    read_manifest(await transport.discover())
                    assert await (await start(transport, "Probe/steps", b"10")).drive() == b"45"
                    assert await (await start(transport, "PlainProbe/steps", b"5")).drive() == b"10"

        asyncio.run(talk())
    finally:
        server.kill()
