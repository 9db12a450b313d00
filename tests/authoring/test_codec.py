"""Journal value codecs: building one once, and using it with and without an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durably.authoring.codec import CodecSource, JournalValueCodec, decode_blocking
from durably.errors import ConfigurationError


class Reversing(JournalValueCodec):
    def __init__(self, waits: bool = False) -> None:
        self.waits = waits

    def encode(self, buf: bytes) -> bytes:
        return buf[::-1]

    async def decode(self, buf: bytes) -> bytes:
        if self.waits:
            await asyncio.sleep(0)
        return buf[::-1]


class AskingForTheLoop(Reversing):
    async def decode(self, buf: bytes) -> bytes:
        asyncio.get_running_loop()
        return await super().decode(buf)


def test_a_codec_is_there_at_once() -> None:
    """An instance needs no building."""
    codec = Reversing()
    source = CodecSource(codec)

    assert not source.is_pending
    assert source.codec is codec
    assert source.get_blocking() is codec


def test_no_codec() -> None:
    """None stays none."""
    source = CodecSource(None)

    assert not source.is_pending
    assert asyncio.run(source.get()) is None


def test_a_provider_is_called_once() -> None:
    """Concurrent first uses end with the same codec, and later ones do not call the provider."""
    calls = 0

    async def provide() -> JournalValueCodec:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return Reversing()

    source = CodecSource(provide)
    assert source.is_pending

    async def use() -> tuple[Any, Any]:
        return await asyncio.gather(source.get(), source.get())

    one, two = asyncio.run(use())
    assert one is two
    assert source.get_blocking() is one
    calls_so_far = calls
    assert asyncio.run(source.get()) is one
    assert calls == calls_so_far


def test_a_provider_that_fails_is_asked_again() -> None:
    """A key service that is down at the first attempt does not disable the codec for good."""
    answers: list[Any] = [OSError("down"), Reversing()]

    async def provide() -> JournalValueCodec:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = CodecSource(provide)
    with pytest.raises(OSError, match="down"):
        source.get_blocking()
    assert isinstance(source.get_blocking(), Reversing)


def test_what_is_no_codec_is_refused() -> None:
    """Something else in its place is refused when it is set."""
    with pytest.raises(ConfigurationError, match="is not a JournalValueCodec"):
        CodecSource("rot13")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "codec", [Reversing(), Reversing(waits=True), AskingForTheLoop()], ids=["now", "waits", "loop"]
)
def test_decoding_in_a_thread(codec: JournalValueCodec) -> None:
    """`def` handlers decode without an event loop; a codec that needs one gets one."""
    assert decode_blocking(codec, codec.encode(b"abc")) == b"abc"
