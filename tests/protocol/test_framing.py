"""Frames: any chunking gives the same frames, in linear time, and forged lengths cost nothing."""

from __future__ import annotations

import itertools
import struct
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.errors import LocalProtocolError, RemoteProtocolError
from durably.protocol.framing import DEFAULT_MAX_MESSAGE_BYTES, HEADER_BYTES, Frame, FrameDecoder, encode_frame

FRAMES = st.lists(
    st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=40)),
    max_size=8,
)


def encode_all(frames: Sequence[Frame]) -> bytes:
    """Write frames one after the other."""
    return b"".join(encode_frame(kind, payload, flags) for kind, flags, payload in frames)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Split bytes at the given places, which may repeat and so give empty chunks."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def test_a_frame_is_a_big_endian_header_and_the_payload():
    """The bytes that the protocol document gives for the header's fields."""
    assert encode_frame(0x0411, b"abc", 0x8000) == bytes.fromhex("0411 8000 00000003") + b"abc"
    assert encode_frame(0x0003, b"") == bytes.fromhex("0003 0000 00000000")


@pytest.mark.parametrize(("kind", "flags"), [(-1, 0), (0x10000, 0), (0, -1), (0, 0x10000)])
def test_a_number_that_does_not_fit_is_refused(kind: int, flags: int):
    """Encoding raises our own error instead of writing something else."""
    with pytest.raises(LocalProtocolError):
        encode_frame(kind, b"", flags)


@given(frames=FRAMES, places=st.lists(st.integers(0, 500), max_size=12))
def test_chunking_never_changes_the_frames(frames: list[Frame], places: list[int]):
    """However the stream is cut, the same frames come out, and nothing stays behind."""
    decoder = FrameDecoder()
    decoded = [frame for chunk in cut(encode_all(frames), places) for frame in decoder.feed(chunk)]
    assert decoded == frames
    assert decoder.buffered_bytes == 0


@given(frames=FRAMES)
def test_single_bytes_give_each_frame_with_its_last_byte(frames: list[Frame]):
    """A frame comes out with the very byte that completes it, empty payloads included."""
    decoder = FrameDecoder()
    for frame in frames:
        *most, last = [bytes([byte]) for byte in encode_all([frame])]
        assert [decoder.feed(byte) for byte in most] == [[]] * len(most)
        assert decoder.feed(last) == [frame]


@given(frames=FRAMES, lost=st.integers(1, 60))
def test_a_cut_stream_gives_the_complete_frames_and_keeps_the_rest(frames: list[Frame], lost: int):
    """Truncation is visible as buffered bytes; complete frames before it are not lost."""
    data = encode_all(frames)[:-lost]
    decoder = FrameDecoder()
    decoded = decoder.feed(data)
    assert decoded == frames[: len(decoded)]
    assert decoder.buffered_bytes == len(data) - len(encode_all(decoded))


def test_nothing_is_buffered_at_the_start():
    """A new decoder, and one that was fed an empty chunk, stand at a frame boundary."""
    decoder = FrameDecoder()
    assert decoder.feed(b"") == []
    assert decoder.buffered_bytes == 0


def test_unknown_types_and_flags_pass():
    """Meaning is not the decoder's business: reserved bits and custom types are handed on."""
    assert FrameDecoder().feed(encode_frame(0xFFFF, b"x", 0x7FFF)) == [(0xFFFF, 0x7FFF, b"x")]


@pytest.mark.parametrize("chunk_bytes", [1, 3, HEADER_BYTES, 1000])
def test_the_limit_is_inclusive(chunk_bytes: int):
    """A payload of exactly the limit passes; one byte more is refused."""
    decoder = FrameDecoder(max_message_bytes=100)
    data = encode_frame(1, bytes(100))
    assert [
        frame for start in range(0, len(data), chunk_bytes) for frame in decoder.feed(data[start : start + chunk_bytes])
    ] == [(1, 0, bytes(100))]
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.feed(encode_frame(1, bytes(101)))
    assert caught.value.code == 500


@pytest.mark.parametrize("before", [b"", encode_frame(2, b"ok")])
@pytest.mark.parametrize("split", range(HEADER_BYTES + 1))
def test_a_forged_length_is_refused_at_the_header(before: bytes, split: int):
    """The eighth byte of the header raises, whatever the chunking, before any payload has arrived."""
    header = struct.pack(">HHI", 1, 0, 0xFFFFFFFF)
    decoder = FrameDecoder()
    # With the whole header in the second chunk the first one is only what stands before it.
    if split < HEADER_BYTES:
        decoder.feed(before + header[:split])
        chunk = header[split:]
    else:
        chunk = before + header
    with pytest.raises(RemoteProtocolError, match="4294967295 bytes; the limit is 33554432"):
        decoder.feed(chunk)
    assert decoder.buffered_bytes == 0


def test_a_refusing_decoder_stays_dead_and_small():
    """After a refusal nothing is buffered any more, however much the peer goes on sending."""
    decoder = FrameDecoder()
    with pytest.raises(RemoteProtocolError):
        decoder.feed(struct.pack(">HHI", 1, 0, DEFAULT_MAX_MESSAGE_BYTES + 1))
    tracemalloc.start()
    try:
        for _ in range(64):
            with pytest.raises(RemoteProtocolError):
                decoder.feed(bytes(1 << 16))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert decoder.buffered_bytes == 0


def test_an_announced_length_reserves_no_memory():
    """A header within the limit does not make the decoder allocate what has not arrived."""
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        assert decoder.feed(struct.pack(">HHI", 1, 0, DEFAULT_MAX_MESSAGE_BYTES) + b"x") == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 14
    finally:
        tracemalloc.stop()
    assert decoder.buffered_bytes == HEADER_BYTES + 1


def cost_of_last_bytes(size: int, singles: int) -> float:
    """Measure feeding the last bytes of a message one by one, in seconds of processor time."""
    decoder = FrameDecoder()
    feed = decoder.feed
    feed(struct.pack(">HHI", 1, 0, size) + bytes(size - singles))
    started = time.process_time()
    for _ in range(singles - 1):
        feed(b"\0")
    (frame,) = feed(b"\0")
    elapsed = time.process_time() - started
    assert len(frame[2]) == size
    return elapsed


def test_a_byte_costs_the_same_however_much_is_buffered():
    """Single bytes at the end of 16 MiB cost about what they cost on an empty buffer, so the whole is linear."""
    singles = 1 << 14
    small = min(cost_of_last_bytes(singles, singles) for _ in range(3))
    large = min(cost_of_last_bytes(16 << 20, singles) for _ in range(3))
    # Copying the buffer for each byte would cost a thousand times as much. Completing the frame copies it once.
    assert large < 10 * small + 0.1


def test_large_messages_are_not_copied_over_and_over():
    """Peak memory for one large message in network-sized chunks stays near twice its size."""
    size = 8 << 20
    chunk = bytes(1 << 16)
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        decoder.feed(struct.pack(">HHI", 1, 0, size))
        frames = [frame for _ in range(size // len(chunk)) for frame in decoder.feed(chunk)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(frames[0][2]) == size
    assert peak < 2.5 * size
