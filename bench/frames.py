"""The few wire messages that the driver needs, written by hand so that neither side's encoder takes part.

Owns the bytes of a recorded journal and of the notifications that answer a handler. Field numbers are those of the
service protocol, version V6.
"""

from __future__ import annotations

import struct

START, SUSPENSION, ERROR, END, PROPOSE = 0x0000, 0x0001, 0x0002, 0x0003, 0x0005
INPUT, RUN = 0x0400, 0x0411
RUN_COMPLETION = 0x8011
CONTENT_TYPE = b"application/vnd.restate.invocation.v6"

_HEADER = struct.Struct(">HHI")


def varint(number: int) -> bytes:
    """Encode an unsigned number, seven bits a byte."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def uint_field(field: int, number: int) -> bytes:
    """Encode a varint field."""
    return varint(field << 3) + varint(number)


def bytes_field(field: int, data: bytes) -> bytes:
    """Encode a length-delimited field."""
    return varint(field << 3 | 2) + varint(len(data)) + data


def frame(message_type: int, payload: bytes) -> bytes:
    """Put the header before a payload."""
    return _HEADER.pack(message_type, 0, len(payload)) + payload


def value(content: bytes) -> bytes:
    """Encode a Value message."""
    return bytes_field(1, content)


def journal(body: bytes, steps: int = 0, result: bytes = b"1", invocation: int = 0) -> bytes:
    """Encode Start, Input and `steps` recorded runs with their results, in journal order."""
    raw_id = struct.pack(">QQQ", 7, 11, invocation)
    start = (
        bytes_field(1, raw_id)
        + bytes_field(2, b"inv_1bench")
        + uint_field(3, 1 + 2 * steps)
        + uint_field(5, 1)
        + uint_field(9, 42)
    )
    parts = [frame(START, start), frame(INPUT, bytes_field(14, value(body)))]
    for completion in range(1, steps + 1):
        parts.append(frame(RUN, uint_field(11, completion) + bytes_field(12, b"step")))
        parts.append(frame(RUN_COMPLETION, uint_field(1, completion) + bytes_field(5, value(result))))
    return b"".join(parts)


def run_completion_of(proposal: bytes) -> bytes:
    """Turn the payload of a successful ProposeRunCompletion into the notification that stores it."""
    position, completion, content = 0, 0, b""
    while position < len(proposal):
        tag, position = _read_varint(proposal, position)
        number, position = _read_varint(proposal, position)
        if tag == 1 << 3:
            completion = number
        elif tag == (14 << 3 | 2):
            content = proposal[position : position + number]
            position += number
        else:
            raise ValueError(f"the benchmark's handlers only propose values, not field {tag >> 3}")
    return frame(RUN_COMPLETION, uint_field(1, completion) + bytes_field(5, value(content)))


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Split whole frames into type and payload; the handlers flush only whole frames.

    Raises:
        ValueError: A frame is cut.
    """
    frames: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        message_type, _, length = _HEADER.unpack_from(data, position)
        end = position + 8 + length
        if end > len(data):
            raise ValueError("a frame was flushed in two pieces")
        frames.append((message_type, data[position + 8 : end]))
        position = end
    return frames
