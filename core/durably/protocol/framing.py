"""Frames: eight bytes of header, then one serialized message.

Owns cutting a stream of bytes into frames and putting headers before payloads. It does not look
into payloads and gives types and flags no meaning.

    bits 63-48  message type, unsigned
    bits 47-32  flags; only the highest, `REQUESTED_ACK`, has a meaning, the others are ignored
    bits 31-0   length of the payload in bytes, without the header

All numbers are big-endian. The decoder keeps at most one incomplete frame, works in time linear in
the bytes it is fed whatever their chunking, and refuses a too long frame as soon as its header is
complete, so that a forged length costs no memory.

Source: service-invocation-protocol.md, "Message header".
"""

from __future__ import annotations

import struct
from typing import Final

from durably.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["DEFAULT_MAX_MESSAGE_BYTES", "HEADER", "HEADER_BYTES", "Frame", "FrameDecoder", "encode_frame"]

DEFAULT_MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""Longest payload accepted by default: the runtime's own default limit."""

HEADER_BYTES: Final = 8

Frame = tuple[int, int, bytes]
"""Type, flags and payload of one frame, in this order."""

HEADER: Final = struct.Struct(">HHI")
"""Type, flags and length of what follows. `encode_frame` packs it; who is in a hurry does it alone."""


def encode_frame(type: int, payload: bytes, flags: int = 0) -> bytes:
    """Put the header before `payload`.

    Args:
        type: Message type, 0 to 0xFFFF.
        payload: The serialized message, shorter than 4 GiB.
        flags: 0, or `REQUESTED_ACK`.

    Raises:
        LocalProtocolError: A number does not fit its header field.
    """
    try:
        return HEADER.pack(type, flags, len(payload)) + payload
    except struct.error as error:
        raise LocalProtocolError(
            f"A message of type {type:#06x} with flags {flags:#06x} and {len(payload)} bytes does not fit a frame."
        ) from error


class FrameDecoder:
    """Cut chunks of a byte stream into frames.

    Attributes:
        max_message_bytes: Longest payload accepted, inclusive.
    """

    __slots__ = ("_buffer", "_refusal", "_wanted", "max_message_bytes")

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        """Start at a frame boundary with nothing buffered."""
        self.max_message_bytes: int = max_message_bytes
        self._buffer = bytearray()
        # Total length the buffer must reach before there is something to do: a header, then a frame.
        self._wanted = HEADER_BYTES
        # Why a header was refused. The text, because an error raised twice collects tracebacks.
        self._refusal: str | None = None

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of an incomplete frame are kept; 0 at a frame boundary."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Take a chunk and return the frames that it completes.

        Args:
            data: Any chunking of the stream. Empty is ignored.

        Returns:
            `(type, flags, payload)` per complete frame, oldest first.

        Raises:
            RemoteProtocolError: A header announces more than `max_message_bytes` (code 500). The
                decoder is dead: it buffers nothing and every later call raises again.
        """
        if self._refusal is not None:
            raise self._error(self._refusal)
        frames: list[Frame] = []
        position = self._complete_buffered(data, frames) if self._buffer else 0
        if position is None:
            return frames
        # From here on nothing is buffered: frames are cut straight out of `data`.
        end = len(data)
        limit = self.max_message_bytes
        unpack = HEADER.unpack_from
        append = frames.append
        while end - position >= HEADER_BYTES:
            kind, flags, length = unpack(data, position)
            if length > limit:
                raise self._refuse(kind, length)
            start = position + HEADER_BYTES
            stop = start + length
            if stop > end:
                self._wanted = HEADER_BYTES + length
                break
            append((kind, flags, data[start:stop]))
            position = stop
        if position < end:
            self._buffer += data[position:]
        return frames

    def _complete_buffered(self, data: bytes, frames: list[Frame]) -> int | None:
        """Complete the buffered frame; return where `data` goes on, or None when it was all used up."""
        buffer = self._buffer
        position = 0
        while True:
            missing = self._wanted - len(buffer)
            if len(data) - position < missing:
                buffer += data[position:]
                return None
            buffer += data[position : position + missing]
            position += missing
            kind, flags, length = HEADER.unpack_from(buffer)
            if length > self.max_message_bytes:
                raise self._refuse(kind, length)
            self._wanted = HEADER_BYTES + length
            if len(buffer) == self._wanted:
                break
        with memoryview(buffer) as view:
            frames.append((kind, flags, bytes(view[HEADER_BYTES:])))
        self._reset()
        return position

    def _refuse(self, kind: int, length: int) -> RemoteProtocolError:
        self._reset()
        self._refusal = (
            f"A message of type {kind:#06x} announces {length} bytes; the limit is {self.max_message_bytes}."
        )
        return self._error(self._refusal)

    def _error(self, refusal: str) -> RemoteProtocolError:
        hint = "Raise the message size limit on both sides, or send less."
        return RemoteProtocolError(refusal, code=500, hint=hint)

    def _reset(self) -> None:
        # A new object, because clearing a large one would keep its memory until the next resize.
        self._buffer = bytearray()
        self._wanted = HEADER_BYTES
