"""The HTTP/1.1 connection: framing, reuse, back-pressure and failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from durably.engine.transport.contract import HIGH_WATER_BYTES, AttemptStream, FailureKind, HttpVersion, TransportError
from tests.engine.transport.driver import HEADERS, http_transport
from tests.engine.transport.h2_peer import raw_peer
from tests.hosting.wire import V6

HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: {V6}\r\n".encode()
WHOLE = HEAD + b"content-length: 5\r\n\r\nhello"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[tuple[str, list[int]]]:
    """Listen and run `talk` with each connection and its number; gives the address and the numbers."""
    accepted: list[int] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(len(accepted))
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                await talk(reader, writer, accepted[-1])
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", accepted
    finally:
        server.close()
        await asyncio.sleep(0.01)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """Read one chunked request."""
    return await reader.readuntil(b"0\r\n\r\n")


async def whole(stream: AttemptStream) -> bytes:
    """Read to the end."""
    parts: list[bytes] = []
    async with asyncio.timeout(5):
        while (data := await stream.receive()) is not None:
            parts.append(data)
    return b"".join(parts)


async def test_the_request_is_chunked():
    """Every write is sent at once as a chunk; the head has the addressee and no length."""
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        seen.append(await request_of(reader))
        writer.write(WHOLE)

    async with talking(talk) as (uri, _), http_transport(f"{uri}/base", use_http_11=True) as transport:
        stream = await transport.open("/invoke/S/h", HEADERS)
        stream.write(b"abc")
        await stream.send(b"de")
        await stream.half_close()
        await stream.half_close()
        assert await whole(stream) == b"hello"
        assert (await stream.response()).http_version is HttpVersion.HTTP_1_1
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /base/invoke/S/h HTTP/1.1"
    assert b"transfer-encoding: chunked" in [line.lower() for line in lines]
    assert f"host: {uri.removeprefix('http://')}".encode() in [line.lower() for line in lines]
    assert body == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


async def test_a_connection_is_used_again():
    """Exchanges one after another share a connection; a peer that closes it gets a new one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        for _ in range(3):
            await request_of(reader)
            writer.write(WHOLE)

    async with talking(talk) as (uri, accepted), http_transport(uri, use_http_11=True) as transport:
        for _ in range(4):
            stream = await transport.open("/invoke/S/h", HEADERS)
            await stream.half_close()
            assert await whole(stream) == b"hello"
            await asyncio.sleep(0.005)
        assert accepted == [0, 1]


async def test_a_connection_lost_on_reuse_can_be_tried_again():
    """A peer that closes just then has done nothing; on the first use that is not known."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 0:
            await request_of(reader)
            writer.write(WHOLE)
        await request_of(reader)

    async with talking(talk) as (uri, _), http_transport(uri, use_http_11=True) as transport:
        refused: list[bool | None] = []
        for _ in range(3):
            stream = await transport.open("/invoke/S/h", HEADERS)
            await stream.half_close()
            try:
                await whole(stream)
                refused.append(None)
            except TransportError as error:
                refused.append(error.is_refused)
        assert refused == [None, True, False]


async def test_a_response_that_ends_first_is_whole():
    """The connection is not used again when the request had not ended."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE)
        await reader.read()

    async with talking(talk) as (uri, accepted), http_transport(uri, use_http_11=True) as transport:
        for _ in range(2):
            stream = await transport.open("/invoke/S/h", HEADERS)
            assert await whole(stream) == b"hello"
            stream.write(b"late")
            await stream.half_close()
        assert accepted == [0, 1]


async def test_a_slow_reader_pauses_the_socket():
    """Much more than the high-water mark is sent, no more than that lies here, and all of it arrives."""
    size = 40 * HIGH_WATER_BYTES

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request_of(reader)
        writer.write(HEAD + f"content-length: {size}\r\n\r\n".encode())
        writer.write(bytes(size))
        await writer.drain()
        await reader.read()

    async with talking(talk) as (uri, _), http_transport(uri, use_http_11=True) as transport:
        stream = await transport.open("/invoke/S/h", HEADERS)
        await stream.half_close()
        await stream.response()
        for _ in range(200):
            await asyncio.sleep(0)
        assert stream.inbound.buffered_bytes <= HIGH_WATER_BYTES + 256 * 1024
        assert len(await whole(stream)) == size


async def test_a_slow_peer_holds_back_send():
    """`send` waits for the socket, and goes on when the peer reads or the exchange is cut."""
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await go.wait()
        await request_of(reader)
        writer.write(WHOLE)

    async with talking(talk) as (uri, _), http_transport(uri, use_http_11=True) as transport:
        stream = await transport.open("/invoke/S/h", HEADERS)
        sending = asyncio.create_task(stream.send(bytes(16 * 1024 * 1024)))
        await asyncio.sleep(0.01)
        assert not sending.done()
        await stream.abort()
        await stream.abort()
        async with asyncio.timeout(5):
            await sending
        go.set()
        with pytest.raises(TransportError, match="cut"):
            await stream.receive()


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 6\r\n\r\nsecret", FailureKind.BUSY, "503"),
        (HEAD + b"content-length: 9\r\n\r\nhello", FailureKind.UNAVAILABLE, "lost"),
        (b"secret nonsense\r\n\r\n", FailureKind.VIOLATION, "broke HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 600_000, FailureKind.VIOLATION, "broke HTTP/1.1"),
        (
            HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nzz\r\n",
            FailureKind.VIOLATION,
            "broke HTTP/1.1",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n", FailureKind.UNAVAILABLE, "HTTP/1.0"),
        (b"", FailureKind.UNAVAILABLE, "lost"),
    ],
    ids=["status", "cut short", "garbage", "long head", "two lengths", "old", "nothing"],
)
async def test_bad_answers_are_failures(answer: bytes, kind: FailureKind, text: str):
    """Each has its kind and text; what the peer wrote is not shown."""
    async with raw_peer(answer) as uri, http_transport(uri, use_http_11=True) as transport:
        stream = await transport.open("/invoke/S/h", HEADERS)
        await stream.half_close()
        with pytest.raises(TransportError, match=text) as caught:
            await whole(stream)
        assert caught.value.kind is kind
        assert "secret" not in str(caught.value)


async def test_idle_connections_are_given_up_early(monkeypatch: pytest.MonkeyPatch):
    """Sooner than the servers do, so that no request meets a connection that is being closed."""
    monkeypatch.setattr("durably.engine.transport.connections._SWEEP_PERIOD_S", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await request_of(reader)
        writer.write(WHOLE)
        await reader.read()

    async with (
        talking(talk) as (uri, _),
        http_transport(uri, use_http_11=True, idle_timeout_http_11_s=0.01) as transport,
    ):
        stream = await transport.open("/invoke/S/h", HEADERS)
        await stream.half_close()
        await whole(stream)
        assert transport._pool.connections == 1
        await asyncio.sleep(0.06)
        assert transport._pool.connections == 0
