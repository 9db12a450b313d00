"""Changing values between their serde and the journal, to encrypt or compress them.

Owns the codec's interface, building it once for an endpoint, and using it without an event loop. What passes
through: input and successful output of handlers, results of steps, state, promises, awakeables, parameters and
results of calls. Failures do not.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from durably.errors import ConfigurationError

__all__ = ["CodecSource", "JournalValueCodec", "JournalValueCodecProvider", "decode_blocking"]


class JournalValueCodec(ABC):
    """Changes the bytes that go into the journal, and back.

    `encode` must be repeatable: equal bytes in, equal bytes out, because replay compares them.
    """

    @abstractmethod
    def encode(self, buf: bytes) -> bytes:
        """Change serialized bytes before they are written; must accept `b""`."""

    @abstractmethod
    async def decode(self, buf: bytes) -> bytes:
        """Undo `encode` before the bytes are deserialized."""


JournalValueCodecProvider: TypeAlias = Callable[[], Awaitable[JournalValueCodec]]
"""Builds a codec, for example after fetching a key. Called once for an endpoint."""


class CodecSource:
    """The codec of an endpoint, built when it is first needed and kept."""

    __slots__ = ("_lock", "_provider", "codec")

    def __init__(self, codec_or_provider: JournalValueCodec | JournalValueCodecProvider | None) -> None:
        """Take what the endpoint was given.

        Raises:
            ConfigurationError: It is neither a codec nor a function that builds one.
        """
        self._lock = threading.Lock()
        self._provider: JournalValueCodecProvider | None = None
        self.codec: JournalValueCodec | None = None
        """The codec, once it is built; None also when there is none to build."""
        if isinstance(codec_or_provider, JournalValueCodec):
            self.codec = codec_or_provider
        elif callable(codec_or_provider):
            self._provider = codec_or_provider
        elif codec_or_provider is not None:
            raise ConfigurationError(
                f"{codec_or_provider!r} is not a JournalValueCodec.",
                hint="Give an instance of a subclass, or an async function that returns one.",
            )

    @property
    def is_pending(self) -> bool:
        """Whether the codec must still be built with `get` or `get_blocking`."""
        return self._provider is not None and self.codec is None

    def _is_built(self) -> bool:
        return self.codec is not None

    async def get(self) -> JournalValueCodec | None:
        """Give the codec, building it on first use; a failed attempt to build it is repeated next time."""
        provider = self._provider
        if self.codec is None and provider is not None:
            built = await provider()
            with self._lock:  # whoever is first decides, so that every attempt uses the same one
                if not self._is_built():
                    self.codec = built
        return self.codec

    def get_blocking(self) -> JournalValueCodec | None:
        """Do the same from a thread without an event loop."""
        return asyncio.run(self.get()) if self.is_pending else self.codec


def decode_blocking(codec: JournalValueCodec, buf: bytes) -> bytes:
    """Decode from a thread without an event loop.

    A codec that waits for nothing is run as it is; one that waits is run again in an event loop of its own.
    """
    coroutine = codec.decode(buf)
    try:
        coroutine.send(None)
    except StopIteration as finished:
        decoded: bytes = finished.value
        return decoded
    except RuntimeError:  # it asked for the running event loop
        return asyncio.run(_decode(codec, buf))
    coroutine.close()
    return asyncio.run(_decode(codec, buf))


async def _decode(codec: JournalValueCodec, buf: bytes) -> bytes:
    return await codec.decode(buf)
