"""Plays the runtime for one attempt, by hand, over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from durably.engine.transport.connections import Connections
from durably.engine.transport.contract import AttemptStream, Transport
from durably.engine.transport.http import HttpTransport
from durably.engine.transport.options import HttpOptions
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder
from durably.protocol.messages import MessageType
from tests.hosting import wire

HEADERS = [("content-type", wire.V6), ("accept", wire.V6), ("x-restate-invocation-id", "inv_1test")]
TERMINAL = {MessageType.END, MessageType.SUSPENSION, MessageType.ERROR}


class Attempt:
    """One attempt and what the service said."""

    def __init__(self, stream: AttemptStream) -> None:
        """Drive `stream`."""
        self.stream = stream
        self.decoder = FrameDecoder()
        self.said: list[tuple[MessageType, Any]] = []

    async def next_messages(self) -> bool:
        """Read one part of the response; False at its end."""
        async with asyncio.timeout(20):
            data = await self.stream.receive()
        if data is None:
            return False
        for kind, _, payload in self.decoder.feed(data):
            self.said.append((MessageType(kind), messages.CLASS_OF[kind].FromString(payload)))
        return True

    async def drive(self) -> Any:
        """Acknowledge steps until the service said its last word; then close. Gives the output."""
        handled = 0
        while await self.next_messages():
            for kind, message in self.said[handled:]:
                handled += 1
                if kind is MessageType.PROPOSE_RUN_COMPLETION:
                    await self.stream.send(wire.run_completion(message.result_completion_id, message.value))
                if kind in TERMINAL:
                    await self.stream.half_close()
        assert self.said, "the service said nothing"
        assert self.said[-1][0] is MessageType.END, self.said[-1]
        return next(message.value.content for kind, message in self.said if kind is MessageType.OUTPUT)

    async def until(self, wanted: MessageType) -> None:
        """Read until a message of this kind came."""
        while wanted not in [kind for kind, _ in self.said]:
            assert await self.next_messages(), f"no {wanted.name} among {self.said}"


async def start(transport: Transport, target: str, body: bytes = b"null") -> Attempt:
    """Open a first attempt of `Service/handler` and send its journal."""
    stream = await transport.open(f"/invoke/{target}", HEADERS)
    await stream.send(wire.fresh(body))
    return Attempt(stream)


@asynccontextmanager
async def http_transport(uri: str, *, use_http_11: bool = False, **options: Any) -> AsyncIterator[HttpTransport]:
    """Reach `uri`; closes every connection in the end."""
    connections = Connections(HttpOptions(**options))
    try:
        yield HttpTransport(connections, uri, use_http_11=use_http_11)
    finally:
        connections.close()
        await asyncio.sleep(0.01)
