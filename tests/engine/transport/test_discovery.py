"""Asking for the manifest: what is sent, asked again, limited, and told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durably.engine.transport.contract import DiscoveryError, HttpVersion
from durably.engine.transport.discovery import MAX_MANIFEST_BYTES, fetch_manifest
from durably.engine.transport.inprocess import InProcessTransport
from tests.engine.transport.driver import http_transport
from tests.engine.transport.h2_peer import raw_peer
from tests.engine.transport.peers import uvicorn_server

MANIFEST = b'{"services": []}'


class Service:
    """An application that answers discovery with one status after another."""

    def __init__(self, *statuses: int, body: bytes = MANIFEST) -> None:
        """Answer with these; 200 after the last."""
        self.statuses = list(statuses)
        self.body = body
        self.requests: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        self.requests.append(scope)
        status = self.statuses.pop(0) if self.statuses else 200
        headers = [(b"content-type", b"a/b"), (b"x-restate-server", b"peer/1"), (b"location", b"http://elsewhere/")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


async def fetch(service: Service) -> Any:
    """Discover in process, without pauses."""
    return await fetch_manifest(InProcessTransport(service), [("authorization", "x")], pauses_s=(0, 0))


async def test_the_request_is_that_of_the_protocol():
    """A GET with the four manifest versions and the deployment's own headers; the answer is handed over unread."""
    service = Service()
    result = await fetch(service)
    assert (result.body, result.content_type, result.server) == (MANIFEST, "a/b", "peer/1")
    assert result.http_version is HttpVersion.HTTP_2
    (scope,) = service.requests
    assert (scope["method"], scope["path"]) == ("GET", "/discover")
    headers = dict(scope["headers"])
    assert headers[b"authorization"] == b"x"
    assert headers[b"accept"].split(b", ") == [
        f"application/vnd.restate.endpointmanifest.v{version}+json".encode() for version in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_passing_failures_are_asked_again(status: int):
    """A deployment that is just starting is asked three times."""
    service = Service(status, status)
    assert (await fetch(service)).body == MANIFEST
    assert len(service.requests) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 415, 501])
async def test_other_statuses_are_told_at_once(status: int):
    """They would not change; redirects are not followed, and nothing of the answer is shown."""
    service = Service(*[status] * 9, body=b"secret")
    with pytest.raises(DiscoveryError, match=f"status {status}") as caught:
        await fetch(service)
    assert caught.value.code == "META0003"
    assert "secret" not in str(caught.value)
    assert "elsewhere" not in str(caught.value)
    assert len(service.requests) == 1


async def test_a_failure_that_stays_is_told_after_three_tries():
    """The last status is in the text."""
    service = Service(*[503] * 9)
    with pytest.raises(DiscoveryError, match="status 503"):
        await fetch(service)
    assert len(service.requests) == 3


async def test_a_long_manifest_is_refused():
    """Nothing is read beyond the limit; the limit itself is fine."""
    assert len((await fetch(Service(body=bytes(MAX_MANIFEST_BYTES)))).body) == MAX_MANIFEST_BYTES
    with pytest.raises(DiscoveryError, match="longer than"):
        await fetch(Service(body=bytes(MAX_MANIFEST_BYTES + 1)))


async def test_a_slow_deployment_is_given_up():
    """Each try has its time; the failure says how long."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.Event().wait()

    transport = InProcessTransport(silent)
    asking = asyncio.create_task(fetch_manifest(transport, time_limit_s=0.01, pauses_s=()))
    await asyncio.sleep(0.02)
    for task in [stream.task for stream in transport._open]:
        task.cancel()
    with pytest.raises(DiscoveryError, match="did not answer"):
        await asking


async def test_nobody_there_is_told():
    """A refused connection gives the address and a hint of what to check."""
    async with http_transport("http://127.0.0.1:9") as transport:
        with pytest.raises(DiscoveryError, match="cannot be reached") as caught:
            await fetch_manifest(transport, pauses_s=())
    assert caught.value.code == "META0003"


async def test_a_refused_address_is_told_at_once():
    """Asking again would change nothing; the hint says which setting opens it."""
    async with http_transport("http://10.0.0.1") as transport:
        with pytest.raises(DiscoveryError, match="allowed_networks") as caught:
            await fetch_manifest(transport, pauses_s=(3600,))
    assert caught.value.code == "META0003"


async def test_http_1_1_behind_http_2_is_told():
    """A server that only speaks HTTP/1.1 gives the code and the setting for it."""
    async with uvicorn_server(Service()) as uri, http_transport(uri) as transport:
        with pytest.raises(DiscoveryError, match="use_http_11") as caught:
            await transport.discover()
    assert caught.value.code == "META0014"


async def test_http_1_0_is_refused():
    """It cannot carry an attempt, so it is not registered."""
    answer = b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with raw_peer(answer) as uri, http_transport(uri, use_http_11=True) as transport:
        with pytest.raises(DiscoveryError, match=r"HTTP/1\.0") as caught:
            await transport.discover()
    assert caught.value.code == "META0015"
