"""Registering deployments: addresses that an attacker would like the engine to visit are refused unvisited."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from durably.engine.engine import Engine
from tests.engine.ingress.asgi import post_json, request
from tests.engine.ingress.probe import SERVICES

CANARY = "canary-5d41402a"
REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:%d/discover\r\ncontent-length: 0\r\n\r\n"
TOLD = b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\n" + CANARY[:15].encode()


class Listener:
    """Counts who connects, and answers each request alike."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.connections = 0
        self.answer = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
def listeners() -> Iterator[tuple[Listener, Listener]]:
    """Two sockets of this machine."""
    with ExitStack() as stack:
        both = Listener(), Listener()
        for each in both:
            stack.enter_context(each.socket)
        yield both


@pytest.mark.parametrize(
    "uri",
    [
        "http://2130706433:{port}/",
        "http://0x7f.0.0.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://localhost.:{port}/",
        "http://user:" + CANARY + "@127.0.0.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::]:{port}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
        "unix:///tmp/x.sock",
        "http://127.0.0.1:{port}\r\nx: y/",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
    ],
)
def test_addresses_of_attackers_are_not_visited(listeners: tuple[Listener, Listener], uri: str) -> None:
    """Other spellings, schemes and networks: refused with a text, no connection is made, and nothing is stored."""
    listener, _ = listeners

    async def play() -> None:
        async with Engine("memory://", SERVICES) as engine:
            server = await asyncio.start_server(listener.serve, sock=listener.socket)
            reply = await post_json(engine.admin_app, "/deployments", {"uri": uri.format(port=listener.port)})
            assert (reply.status, listener.connections) == (500, 0)
            assert reply.json()["restate_code"] == "META0003"
            assert CANARY.encode() not in reply.body
            listed = await request(engine.admin_app, "GET", "/deployments")
            assert len(listed.json()["deployments"]) == 1  # its own
            server.close()

    asyncio.run(play())


@pytest.mark.parametrize("is_redirect", [True, False])
def test_what_an_address_answers_is_neither_followed_nor_repeated(
    listeners: tuple[Listener, Listener], is_redirect: bool
) -> None:
    """A redirect ends there; of any answer that is no manifest only the status is told."""
    listener, target = listeners
    listener.answer = REDIRECT % target.port if is_redirect else TOLD

    async def play() -> None:
        async with Engine("memory://", SERVICES) as engine:
            servers = [await asyncio.start_server(each.serve, sock=each.socket) for each in listeners]
            asked = {"uri": f"http://127.0.0.1:{listener.port}", "use_http_11": True}
            reply = await post_json(engine.admin_app, "/deployments", asked)
            assert reply.status == 500
            assert ("302" if is_redirect else "403") in reply.json()["message"]
            assert CANARY[:15].encode() not in reply.body
            assert listener.connections >= 1
            assert target.connections == 0
            for server in servers:
                server.close()

    asyncio.run(play())
