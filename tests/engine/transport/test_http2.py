"""The HTTP/2 connection against a server that does what the test says."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingAckReceived, PingReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from durably.engine.transport.contract import HIGH_WATER_BYTES, AttemptStream, FailureKind, TransportError
from durably.engine.transport.http import HttpTransport
from tests.engine.transport.driver import HEADERS, http_transport
from tests.engine.transport.h2_peer import Peer, PeerConnection, h2_peer, raw_peer


async def opened(transport: HttpTransport, peer: Peer) -> tuple[AttemptStream, PeerConnection, int]:
    """Open a stream on a new connection; gives both ends and the stream's number."""
    stream = await transport.open("/invoke/S/h", HEADERS)
    connection = await peer.connection()
    return stream, connection, await connection.request()


async def failure_of(stream: AttemptStream) -> TransportError:
    """Read to the failure."""
    try:
        async with asyncio.timeout(5):
            while await stream.receive() is not None:
                pass
    except TransportError as error:
        return error
    raise AssertionError("the exchange did not fail")


async def test_a_request_has_the_heads_of_the_protocol():
    """The pseudo-headers name the addressee; the given headers follow as they are."""
    async with h2_peer() as peer, http_transport(f"{peer.uri}/base/?tenant=7") as transport:
        await transport.open("/invoke/S/h", HEADERS)
        connection = await peer.connection()
        request = await connection.event(RequestReceived)
        authority = peer.uri.removeprefix("http://")
        assert dict(request.headers or []) == {
            ":method": "POST",
            ":scheme": "http",
            ":authority": authority,
            ":path": "/base/invoke/S/h?tenant=7",
            **dict(HEADERS),
        }


async def test_bytes_go_both_ways_at_once():
    """A response can begin before the request ends, and the request can go on."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        stream.write(b"one")
        assert (await connection.event(DataReceived)).data == b"one"
        connection.head(number, x_restate_server="peer/1")
        connection.data(number, b"first")
        assert await stream.receive() == b"first"
        assert (await stream.response()).server == "peer/1"
        stream.write(b"two")
        await stream.half_close()
        assert (await connection.event(DataReceived)).data == b"two"
        await connection.event(StreamEnded)
        connection.data(number, b"last", end_stream=True)
        assert await stream.receive() == b"last"
        assert await stream.receive() is None


async def test_writes_of_one_turn_share_a_frame():
    """Small messages do not each cost a frame."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, _ = await opened(transport, peer)
        for _ in range(10):
            stream.write(b"ab")
        assert (await connection.event(DataReceived)).data == b"ab" * 10


async def test_the_peers_window_is_kept_and_others_pass():
    """A stream whose window is used up waits, `send` with it; another stream's bytes go out."""
    async with h2_peer(initial_window_size=1000) as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        sending = asyncio.create_task(stream.send(bytes(HIGH_WATER_BYTES + 2000)))
        assert len((await connection.event(DataReceived)).data or b"") == 1000
        other = await transport.open("/invoke/S/h", HEADERS)
        await connection.request()
        other.write(b"passes")
        assert (await connection.event(DataReceived)).data == b"passes"
        assert not sending.done()
        connection.h2.increment_flow_control_window(60000, number)
        connection.flush()
        assert len((await connection.event(DataReceived)).data or b"") > 1000
        async with asyncio.timeout(5):
            await sending
        connection.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 5000})
        connection.flush()
        await stream.abort()
        assert (await connection.event(StreamReset)).error_code is ErrorCodes.CANCEL


async def test_a_slow_reader_holds_back_its_own_stream_only():
    """The peer may send a window's worth on a stream that is not read, while another one is served."""
    async with (
        h2_peer() as peer,
        http_transport(peer.uri, stream_window_bytes=70000, connection_window_bytes=140000) as transport,
    ):
        slow, connection, first = await opened(transport, peer)
        connection.head(first)
        sent = 0
        while room := min(connection.h2.local_flow_control_window(first), 10000):
            connection.data(first, bytes(room))
            sent += room
        assert sent == 70000
        quick = await transport.open("/invoke/S/h", HEADERS)
        second = await connection.request()
        connection.head(second)
        for _ in range(30):
            connection.data(second, bytes(10000))
            await quick.receive()
            await asyncio.sleep(0)
            quick.write(b"more")
            await connection.event(DataReceived)
        assert connection.h2.local_flow_control_window(first) == 0
        assert len(await slow.receive() or b"") == 70000
        slow.write(b"read")
        await connection.event(DataReceived)
        assert connection.h2.local_flow_control_window(first) == 70000


async def test_the_end_may_come_with_more_than_half_a_window():
    """What is taken while it is being read gives no window back to a stream that has ended on both sides."""
    async with h2_peer() as peer, http_transport(peer.uri, stream_window_bytes=1000) as transport:
        stream, connection, number = await opened(transport, peer)
        await stream.half_close()
        await connection.event(StreamEnded)
        connection.head(number)
        got: list[bytes] = []
        reading = asyncio.create_task(stream.hand_over(lambda data: got.append(data) is None))
        await asyncio.sleep(0)
        connection.data(number, bytes(900), end_stream=True)
        assert await asyncio.wait_for(reading, 5) is False
        assert got == [bytes(900)]
        other = await transport.open("/invoke/S/h", HEADERS)
        connection.head(await connection.request(), end_stream=True)
        assert await other.receive() is None
        assert peer.accepted == 1


async def test_a_reset_stream_fails_and_others_go_on():
    """RST_STREAM fails one attempt; REFUSED_STREAM says that it can be tried again at once."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        refused = await transport.open("/invoke/S/h", HEADERS)
        second = await connection.request()
        third_stream = await transport.open("/invoke/S/h", HEADERS)
        third = await connection.request()
        connection.h2.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
        connection.h2.reset_stream(second, ErrorCodes.REFUSED_STREAM)
        connection.flush()
        failure = await failure_of(stream)
        assert (failure.kind, failure.is_refused) == (FailureKind.UNAVAILABLE, False)
        assert "INTERNAL_ERROR" in failure.message
        assert (await failure_of(refused)).is_refused
        connection.head(third, end_stream=True)
        assert await third_stream.receive() is None


async def test_a_status_is_a_failure_and_cuts_the_stream():
    """The status is told, the body is not read, and the stream is reset."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        connection.head(number, status=503, retry_after="3")
        connection.data(number, b"secret")
        failure = await failure_of(stream)
        assert (failure.kind, failure.code, failure.retry_after_ms) == (FailureKind.BUSY, 503, 3000)
        assert "secret" not in str(failure)
        await connection.event(StreamReset)


async def test_streams_are_opened_up_to_the_peers_limit():
    """A connection takes as many streams as the peer allows; the next one opens another connection."""
    async with h2_peer(max_concurrent_streams=2) as peer, http_transport(peer.uri) as transport:
        streams = [await transport.open("/invoke/S/h", HEADERS) for _ in range(3)]
        assert peer.accepted == 2
        await streams[0].abort()
        await transport.open("/invoke/S/h", HEADERS)
        assert peer.accepted == 2


async def test_a_peer_without_streams_is_refused():
    """A limit of 0 is a failure with a text, not a wait for ever."""
    async with h2_peer(max_concurrent_streams=0) as peer, http_transport(peer.uri) as transport:
        with pytest.raises(TransportError, match="no streams"):
            await transport.open("/invoke/S/h", HEADERS)


async def test_a_connection_lost_after_it_served_can_be_tried_again():
    """What a peer had not begun to answer when it closed an old connection, it did not take."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        unproven, connection, _ = await opened(transport, peer)
        connection.writer.close()
        assert not (await failure_of(unproven)).is_refused
        served, connection, number = await opened(transport, peer)
        connection.head(number)
        connection.data(number, b"done", end_stream=True)
        assert await served.receive() == b"done"
        begun = await transport.open("/invoke/S/h", HEADERS)
        number = await connection.request()
        connection.head(number)
        await begun.response()
        unseen = await transport.open("/invoke/S/h", HEADERS)
        await connection.request()
        assert peer.accepted == 2
        connection.writer.close()
        assert not (await failure_of(begun)).is_refused
        assert (await failure_of(unseen)).is_refused


async def test_a_stream_that_is_left_with_its_head_can_be_tried_again():
    """After GOAWAY the peer is asked for a sign; when it closes then, a head without a body is no answer."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        connection.head(number)
        await stream.response()
        connection.raw(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + number.to_bytes(4, "big") + bytes(4))
        await connection.event(PingReceived)
        connection.writer.close()
        assert (await failure_of(stream)).is_refused


async def test_goaway_lets_accepted_streams_finish():
    """Streams that the peer accepted end as usual, later ones can be tried again at once, new ones reconnect."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        accepted, connection, first = await opened(transport, peer)
        rejected = await transport.open("/invoke/S/h", HEADERS)
        await connection.request()
        connection.raw(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + first.to_bytes(4, "big") + bytes(4))
        assert (await failure_of(rejected)).is_refused
        await transport.open("/invoke/S/h", HEADERS)
        assert peer.accepted == 2
        connection.head(first)
        connection.data(first, b"finished", end_stream=True)
        assert await accepted.receive() == b"finished"
        assert await accepted.receive() is None
        await connection.closed()


async def test_a_connection_is_given_up_after_its_requests():
    """The stream after the last one that a connection takes opens a new one."""
    async with h2_peer() as peer, http_transport(peer.uri, max_requests=2) as transport:
        streams = [await transport.open("/invoke/S/h", HEADERS) for _ in range(3)]
        assert peer.accepted == 2
        assert transport._pool.connections == 2
        for stream in streams[:2]:
            await stream.abort()
        await (await peer.connection()).closed()
        assert transport._pool.connections == 1


async def test_a_lost_connection_fails_its_streams():
    """All attempts on it fail, and the next one connects again."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, _ = await opened(transport, peer)
        connection.writer.transport.abort()
        failure = await failure_of(stream)
        assert failure.kind is FailureKind.UNAVAILABLE
        stream.write(b"dropped")
        await transport.open("/invoke/S/h", HEADERS)
        assert peer.accepted == 2


async def test_a_silent_peer_is_pinged_and_given_up():
    """A peer that answers pings is kept; one that does not loses its streams."""
    async with (
        h2_peer() as peer,
        http_transport(peer.uri, ping_interval_s=0.04, ping_timeout_s=0.04) as transport,
    ):
        stream, connection, number = await opened(transport, peer)
        async with asyncio.timeout(5):
            while not any(type(event).__name__ == "PingReceived" for event in connection.seen):
                try:
                    async with asyncio.timeout(0.05):
                        await connection.event(PingAckReceived)
                except TimeoutError:
                    pass
        connection.head(number)
        assert (await stream.response()).status == 200
        failure = await failure_of(stream)
        assert "does not answer" in failure.message


async def test_an_idle_connection_is_closed():
    """Without streams it goes after its time."""
    async with (
        h2_peer() as peer,
        http_transport(peer.uri, idle_timeout_s=0.04, ping_interval_s=0.04) as transport,
    ):
        stream, connection, _ = await opened(transport, peer)
        await stream.abort()
        await connection.closed()
        assert transport._pool.connections == 0


async def test_an_early_end_of_the_response_resets_the_request():
    """A response that ends before the request is whole; the stream is reset, no later DATA is sent."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        connection.head(number)
        connection.data(number, b"all", end_stream=True)
        assert await stream.receive() == b"all"
        assert await stream.receive() is None
        stream.write(b"late")
        await stream.half_close()
        await connection.event(StreamReset)
        assert not any(isinstance(event, DataReceived) for event in connection.seen)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1100, id="settings"),
        pytest.param((b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)) * 1100, id="pings"),
        pytest.param((b"\x00\x00\x05\x02\x00\x00\x00\x00\x09" + bytes(4) + b"\x10") * 1100, id="priorities"),
        pytest.param(b"\x00\x00\x00\x00\x00\x00\x00\x00\x01" * 1100, id="empty data"),
    ],
)
async def test_floods_end_the_connection(frames: bytes):
    """A peer that sends too many frames which cost and carry nothing is left."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        connection.head(number)
        await stream.response()
        connection.raw(frames)
        failure = await failure_of(stream)
        assert failure.kind is FailureKind.VIOLATION
        assert "too many" in failure.message
        await connection.closed()


async def test_too_many_resets_end_the_connection():
    """A peer that resets one stream after another is left."""
    async with h2_peer() as peer, http_transport(peer.uri, max_resets=3) as transport:
        kept, connection, _ = await opened(transport, peer)
        for _ in range(4):
            await transport.open("/invoke/S/h", HEADERS)
            connection.h2.reset_stream(await connection.request(), ErrorCodes.INTERNAL_ERROR)
        connection.flush()
        assert "too many resets" in (await failure_of(kept)).message


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x", id="data without a stream"),
        pytest.param(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff", id="window too large"),
        pytest.param(b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", id="window of nothing"),
        pytest.param(
            b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88" + b"\x00\x00\x01\x09\x00\x00\x00\x00\x01\x88" * 1000,
            id="endless head",
        ),
        pytest.param(b"\x00\x40\x00\x05\x04\x00\x00\x00\x01" + bytes(16384), id="push"),
        pytest.param(b"\x01\x00\x00\x00\x00\x00\x00\x00\x01" + bytes(65536), id="long frame"),
    ],
)
async def test_broken_frames_fail_the_attempts(frames: bytes):
    """What HTTP/2 forbids ends the connection with a failure that says so."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, _ = await opened(transport, peer)
        connection.raw(frames)
        failure = await failure_of(stream)
        assert failure.kind is FailureKind.VIOLATION
        assert "broke HTTP/2" in failure.message
        await connection.closed()


async def test_a_head_that_unpacks_to_too_much_is_refused():
    """A small frame that stands for a huge list of headers ends the connection before the list exists."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        stream, connection, number = await opened(transport, peer)
        encoded = connection.h2.encoder.encode([(":status", "200"), ("x-bomb", "a" * 3000)])
        bomb = encoded + connection.h2.encoder.encode([("x-bomb", "a" * 3000)]) * 5000
        connection.raw(len(bomb).to_bytes(3, "big") + b"\x01\x04" + number.to_bytes(4, "big") + bomb)
        assert "broke HTTP/2" in (await failure_of(stream)).message


async def test_a_refusal_without_a_body_ends_the_stream():
    """A head that is a failure and the end at once, after the request ended, leaves the connection usable."""
    async with h2_peer() as peer, http_transport(peer.uri) as transport:
        for _ in range(2):
            stream = await transport.open("/invoke/S/h", HEADERS)
            await stream.half_close()
            connection = peer.open[0]
            number = await connection.request()
            await connection.event(StreamEnded)
            connection.head(number, status=404, end_stream=True)
            assert (await failure_of(stream)).code == 404
            await stream.abort()
        assert peer.accepted == 1


async def test_a_full_socket_holds_the_request_back():
    """A peer that does not read, whatever its window says, makes `send` wait; nothing is lost when it reads."""
    size = 24 * 1024 * 1024
    async with h2_peer(initial_window_size=2**31 - 1) as peer, http_transport(peer.uri) as transport:
        stream, connection, _ = await opened(transport, peer)
        connection.h2.increment_flow_control_window(2**30)
        connection.flush()
        sending = asyncio.create_task(stream.send(bytes(size)))
        await asyncio.sleep(0.02)
        assert not sending.done()
        received = 0
        while received < size:
            received += len((await connection.event(DataReceived)).data or b"")
        await sending
        assert received == size


async def test_a_peer_that_says_goodbye_first_is_told():
    """GOAWAY in place of a greeting is a failure, not a wait."""
    goodbye = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)
    async with raw_peer(goodbye, closes=False) as uri, http_transport(uri) as transport:
        with pytest.raises(TransportError, match="closes every connection"):
            await transport.open("/invoke/S/h", HEADERS)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28garbage"])
async def test_another_protocol_is_told(answer: bytes):
    """What does not speak HTTP/2 fails with the setting that helps."""
    async with raw_peer(answer) as uri, http_transport(uri) as transport:
        with pytest.raises(TransportError, match="use_http_11"):
            await transport.open("/invoke/S/h", HEADERS)
