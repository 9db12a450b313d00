"""The runtime's side of one invocation, simple enough to be obviously right.

Owns the attempts: each is driven through the app's ASGI or WSGI interface. Completions are delivered one at
a time, only while the app has nothing to do, in an order that a seeded generator chooses. An attempt can be
cut after any number of journal entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from durably.protocol import messages as wire
from durably.protocol.framing import encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion
from tests.runtime_model.journal import DEBUG_ID, INVOCATION, Journal, Rejected

__all__ = ["DEBUG_ID", "INVOCATION", "Attempt", "Rejected", "Runtime"]

_TERMINAL = (MessageType.END, MessageType.SUSPENSION, MessageType.ERROR)


@dataclass
class Attempt:
    """What one attempt did.

    Attributes:
        entries: Journal entries when it began.
        frames: What it wrote, as message type and payload.
        ending: "end", "suspension", "error" or "cut".
        error: The Error message, if that ended it.
    """

    entries: int
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    ending: str = ""
    error: Any = None

    def take(self, kind: int, payload: bytes) -> bool:
        """Note a frame; tell whether it is the terminal one."""
        assert not self.ending, f"a message after the terminal one: {kind:#06x}"
        self.frames.append((kind, payload))
        if kind not in _TERMINAL:
            return False
        self.ending = MessageType(kind).name.lower()
        if kind == MessageType.ERROR:
            self.error = wire.Error.FromString(payload)
        return True


class Runtime(Journal):
    """One invocation of one handler.

    Attributes:
        attempts: What happened, oldest first.
        on_frame: Called for every frame that the app writes, with its message type.
        retries: What Start says of earlier failures: their number, and for how long, in milliseconds.
    """

    def __init__(
        self,
        app: Any,
        service: str,
        handler: str,
        body: bytes = b"",
        *,
        key: str = "",
        version: ProtocolVersion = ProtocolVersion.V6,
        streaming: bool = True,
        wsgi: bool = False,
        seed: int | None = 0,
        state: dict[str, bytes] | None = None,
        lazy_state: bool = False,
        on_call: Callable[[str, str, bytes], bytes | None] = lambda _service, _handler, parameter: parameter,
    ) -> None:
        """Prepare the invocation; `seed=None` completes everything in the order it was asked for."""
        super().__init__(body, version, seed, state, on_call)
        self.app = app
        self.path = f"/invoke/{service}/{handler}"
        self.key = key
        self.streaming = streaming
        self.wsgi = wsgi
        self.lazy_state = lazy_state
        self.attempts: list[Attempt] = []
        self.on_frame: Callable[[int], None] | None = None
        self.retries = (0, 0)

    async def run(self, *, cuts: list[int] | None = None, limit: int = 200) -> bytes:
        """Drive the invocation to its end; each of `cuts` is a journal length at which an attempt is cut.

        Raises:
            AssertionError: It failed terminally, or did not end within `limit` attempts.
        """
        await self.finish(cuts=cuts, limit=limit)
        assert self.failure is None, self.failure
        assert self.output is not None
        return self.output

    async def finish(self, *, cuts: list[int] | None = None, limit: int = 200) -> None:
        """Do the same, and let it fail terminally."""
        waiting_cuts = sorted(cuts or ())
        while self.output is None and self.failure is None:
            assert len(self.attempts) < limit, f"no end after {limit} attempts: {self.attempts[-1]}"
            cut = None
            while waiting_cuts and cut is None:
                candidate = waiting_cuts.pop(0)
                cut = candidate if candidate > len(self.journal) else None
            attempt = await self.attempt(cut)
            if attempt.ending == "suspension":
                self.complete_one()

    @property
    def result(self) -> Any:
        """The result, read as JSON; a failure as (code, message)."""
        if self.failure is not None:
            return self.failure.code, self.failure.message
        return json.loads(self.output) if self.output else None

    @property
    def errors(self) -> list[Any]:
        """The Error messages of attempts that failed, oldest first."""
        return [attempt.error for attempt in self.attempts if attempt.error is not None]

    @property
    def commands(self) -> list[str]:
        """Names of the commands that were journaled, Input first."""
        return [MessageType(kind).name for kind, _ in self.journal if kind < 0x8000]

    async def attempt(self, cut: int | None = None) -> Attempt:
        """Drive one attempt."""
        from tests.runtime_model.asgi_stream import AsgiStream
        from tests.runtime_model.wsgi_request import drive_wsgi

        attempt = Attempt(len(self.journal))
        self.attempts.append(attempt)
        if self.wsgi:
            await drive_wsgi(self, attempt, cut)
        else:
            await AsgiStream(self, attempt, cut).drive()
        return attempt

    def start_frames(self) -> bytes:
        """Give Start and the whole journal."""
        start = wire.Start(
            id=INVOCATION,
            debug_id=DEBUG_ID,
            known_entries=len(self.journal),
            partial_state=self.lazy_state or self.state is None or not self.key,
            key=self.key,
            random_seed=int.from_bytes(hashlib.sha256(self.path.encode()).digest()[:8]),
            retry_count_since_last_stored_entry=self.retries[0],
            duration_since_last_stored_entry=self.retries[1],
        )
        if self.key and self.state is not None and not self.lazy_state:
            for name, value in self.state.items():
                start.state_map.add(key=name.encode(), value=value)
        return b"".join(
            [encode_frame(MessageType.START, start.SerializeToString())]
            + [encode_frame(kind, payload) for kind, payload in self.journal]
        )
