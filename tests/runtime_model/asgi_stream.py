"""The connection of one attempt, over the ASGI interface of an app in this process."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import content_type_of
from tests.runtime_model.runtime import Attempt, Runtime

__all__ = ["AsgiStream"]

_IDLE_TURNS = 30  # turns of the loop without output after which the app counts as having nothing to do


class AsgiStream:
    """Feeds one attempt, and answers what it writes."""

    def __init__(self, runtime: Runtime, attempt: Attempt, cut: int | None) -> None:
        """Begin with the journal; `cut` is the journal length at which the connection is lost."""
        self.runtime = runtime
        self.attempt = attempt
        self.cut = cut
        self.incoming: deque[dict[str, Any]] = deque()
        self.arrived = asyncio.Event()
        self.turns_idle = 0
        self.decoder = FrameDecoder()
        self.feed(runtime.start_frames())
        if not runtime.streaming:
            self.feed_end()

    def feed(self, data: bytes) -> None:
        """Let the app receive `data`."""
        self.incoming.append({"type": "http.request", "body": data, "more_body": True})
        self.arrived.set()

    def feed_end(self) -> None:
        """Let the app receive the end of the request."""
        self.incoming.append({"type": "http.request", "body": b"", "more_body": False})
        self.arrived.set()

    async def drive(self) -> None:
        """Run the app until it is done with this attempt."""
        version = content_type_of(self.runtime.version).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2" if self.runtime.streaming else "1.1",
            "method": "POST",
            "path": self.runtime.path,
            "headers": [(b"content-type", version)],
            "client": ("127.0.0.1", 1),
        }
        app = asyncio.ensure_future(self.runtime.app(scope, self.receive, self.send))
        try:
            while not app.done():
                await asyncio.sleep(0)
                self.turns_idle += 1
                if self.turns_idle > _IDLE_TURNS and not self.incoming and not self.attempt.ending:
                    self.turns_idle = 0
                    entry = self.runtime.complete_one() if self.runtime.streaming else None
                    if entry is not None:
                        self.feed(encode_frame(*entry))
                        self._cut_if_due()
                    else:
                        await asyncio.sleep(0.001)  # a thread or a timer of the loop may be at work
            await app
        finally:
            app.cancel()

    async def receive(self) -> dict[str, Any]:
        """Be the app's `receive`."""
        while not self.incoming:
            self.arrived.clear()
            await self.arrived.wait()
        return self.incoming.popleft()

    async def send(self, event: dict[str, Any]) -> None:
        """Be the app's `send`."""
        if event["type"] != "http.response.body" or self.attempt.ending == "cut":
            return
        for kind, _flags, payload in self.decoder.feed(event.get("body", b"")):
            self.turns_idle = 0
            if self.runtime.on_frame is not None:
                self.runtime.on_frame(kind)
            if self.attempt.take(kind, payload):
                self.feed_end()
            elif kind != MessageType.AWAITING_ON:
                for answer in self.runtime.accept(kind, payload):
                    if self.runtime.streaming:
                        self.feed(encode_frame(*answer))
                self._cut_if_due()
                if self.attempt.ending == "cut":
                    return

    def _cut_if_due(self) -> None:
        if self.cut is not None and len(self.runtime.journal) >= self.cut:
            self.attempt.ending = "cut"
            self.incoming.clear()
            self.incoming.append({"type": "http.disconnect"})
            self.arrived.set()
