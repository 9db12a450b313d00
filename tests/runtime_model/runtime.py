"""The runtime's side of one invocation, simple enough to be obviously right.

Owns the journal of one invocation, and which completions are still to come. Attempts are driven through
the app's ASGI interface. Completions are delivered one at a time, only while the app has nothing to do, in
an order that a seeded generator chooses. An attempt can be cut after any number of journal entries.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from durably.protocol import messages as wire
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion, content_type_of

INVOCATION = bytes(range(24))
DEBUG_ID = "inv_1model"
_IDLE_TURNS = 30  # turns of the loop without output after which the app counts as having nothing to do


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


class Runtime:
    """One invocation of one handler.

    Attributes:
        journal: Entries as message type and payload, Input first.
        attempts: What happened, oldest first.
        calls: What was called, as (service, handler, parameter).
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
        seed: int | None = 0,
        state: dict[str, bytes] | None = None,
        on_call: Callable[[str, str, bytes], bytes] = lambda _service, _handler, parameter: parameter,
    ) -> None:
        """Prepare the invocation; `seed=None` completes everything in the order it was asked for."""
        self.app = app
        self.path = f"/invoke/{service}/{handler}"
        self.key = key
        self.version = version
        self.streaming = streaming
        self.state = state
        self.on_call = on_call
        self.journal: list[tuple[int, bytes]] = [
            (MessageType.INPUT, wire.InputCommand(value=wire.Value(content=body)).SerializeToString())
        ]
        self.attempts: list[Attempt] = []
        self.calls: list[tuple[str, str, bytes]] = []
        self.pending: list[tuple[int, bytes]] = []
        self.random = None if seed is None else Random(seed)
        self.output: bytes | None = None
        self.failure: Any = None

    def signal(self, *, index: int | None = None, name: str | None = None, value: bytes | None = None) -> None:
        """Let a signal arrive, some time."""
        content = {"void": wire.Void()} if value is None else {"value": wire.Value(content=value)}
        which = {"signal_id": index} if index is not None else {"signal_name": name}
        self.pending.append((MessageType.SIGNAL, wire.Notification(**which, **content).SerializeToString()))

    async def run(self, *, cuts: list[int] | None = None, limit: int = 200) -> bytes:
        """Drive the invocation to its end; each of `cuts` is a journal length at which an attempt is cut.

        Raises:
            AssertionError: It failed terminally, or did not end within `limit` attempts.
        """
        waiting_cuts = sorted(cuts or ())
        while self.output is None and self.failure is None:
            assert len(self.attempts) < limit, f"no end after {limit} attempts: {self.attempts[-1]}"
            cut = None
            while waiting_cuts and cut is None:
                candidate = waiting_cuts.pop(0)
                cut = candidate if candidate > len(self.journal) else None
            attempt = await self.attempt(cut)
            if attempt.ending == "suspension":
                self._complete_one()
        assert self.failure is None, self.failure
        assert self.output is not None
        return self.output

    async def attempt(self, cut: int | None = None) -> Attempt:
        """Drive one attempt."""
        attempt = Attempt(len(self.journal))
        self.attempts.append(attempt)
        stream = _Stream(self, attempt, cut)
        await stream.drive()
        return attempt

    def _complete_one(self) -> tuple[int, bytes] | None:
        if not self.pending:
            return None
        index = 0 if self.random is None else self.random.randrange(len(self.pending))
        entry = self.pending.pop(index)
        self.journal.append(entry)
        return entry

    def accept(self, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        """Take a command or a proposal; give what is answered at once."""
        if kind == MessageType.PROPOSE_RUN_COMPLETION:
            return [self._run_completion(payload)]
        self.journal.append((kind, payload))
        match kind:
            case MessageType.SLEEP:
                command = wire.SleepCommand.FromString(payload)
                self._later(MessageType.SLEEP_COMPLETION, command.result_completion_id, void=wire.Void())
            case MessageType.CALL:
                return self._call(payload)
            case MessageType.ONE_WAY_CALL:
                send = wire.OneWayCallCommand.FromString(payload)
                self.calls.append((send.service_name, send.handler_name, send.parameter))
                return [self._child(send.invocation_id_notification_idx)]
            case MessageType.GET_LAZY_STATE:
                get = wire.GetLazyStateCommand.FromString(payload)
                value = (self.state or {}).get(get.key.decode())
                content: dict[str, Any] = (
                    {"void": wire.Void()} if value is None else {"value": wire.Value(content=value)}
                )
                return [self._now(MessageType.GET_LAZY_STATE_COMPLETION, get.result_completion_id, **content)]
            case MessageType.OUTPUT:
                output = wire.OutputCommand.FromString(payload)
                if output.WhichOneof("result") == "failure":
                    self.failure = output.failure
                else:
                    self.output = output.value.content
            case _:
                pass
        return []

    def _run_completion(self, payload: bytes) -> tuple[int, bytes]:
        proposal = wire.ProposeRunCompletion.FromString(payload)
        if proposal.WhichOneof("result") == "failure":
            content: dict[str, Any] = {"failure": proposal.failure}
        else:
            content = {"value": wire.Value(content=proposal.value)}
        recorded = self._now(MessageType.RUN_COMPLETION, proposal.result_completion_id, **content)
        if self.version < ProtocolVersion.V7:
            return recorded
        ack = wire.ProposeRunCompletionAck(completion_id=proposal.result_completion_id)
        return MessageType.PROPOSE_RUN_COMPLETION_ACK, ack.SerializeToString()

    def _call(self, payload: bytes) -> list[tuple[int, bytes]]:
        call = wire.CallCommand.FromString(payload)
        self.calls.append((call.service_name, call.handler_name, call.parameter))
        result = self.on_call(call.service_name, call.handler_name, call.parameter)
        self._later(MessageType.CALL_COMPLETION, call.result_completion_id, value=wire.Value(content=result))
        return [self._child(call.invocation_id_notification_idx)]

    def _child(self, completion_id: int) -> tuple[int, bytes]:
        return self._now(
            MessageType.CALL_INVOCATION_ID_COMPLETION, completion_id, invocation_id=f"inv_1child{completion_id}"
        )

    def _now(self, kind: int, completion_id: int, **content: Any) -> tuple[int, bytes]:
        entry = (int(kind), wire.Notification(completion_id=completion_id, **content).SerializeToString())
        self.journal.append(entry)
        return entry

    def _later(self, kind: int, completion_id: int, **content: Any) -> None:
        notification = wire.Notification(completion_id=completion_id, **content)
        self.pending.append((int(kind), notification.SerializeToString()))

    def start_frames(self) -> bytes:
        """Give Start and the whole journal."""
        start = wire.Start(
            id=INVOCATION,
            debug_id=DEBUG_ID,
            known_entries=len(self.journal),
            partial_state=self.state is None or not self.key,
            key=self.key,
            random_seed=int.from_bytes(hashlib.sha256(self.path.encode()).digest()[:8]),
        )
        if self.key and self.state is not None:
            for name, value in self.state.items():
                start.state_map.add(key=name.encode(), value=value)
        return b"".join(
            [encode_frame(MessageType.START, start.SerializeToString())]
            + [encode_frame(kind, payload) for kind, payload in self.journal]
        )


class _Stream:
    """The connection of one attempt."""

    def __init__(self, runtime: Runtime, attempt: Attempt, cut: int | None) -> None:
        self.runtime = runtime
        self.attempt = attempt
        self.cut = cut
        self.incoming: deque[dict[str, Any]] = deque()
        self.arrived = asyncio.Event()
        self.turns_idle = 0
        self.decoder = FrameDecoder()
        self._feed(runtime.start_frames())
        if not runtime.streaming:
            self._feed_end()

    def _feed(self, data: bytes) -> None:
        self.incoming.append({"type": "http.request", "body": data, "more_body": True})
        self.arrived.set()

    def _feed_end(self) -> None:
        self.incoming.append({"type": "http.request", "body": b"", "more_body": False})
        self.arrived.set()

    async def drive(self) -> None:
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
                    if self.runtime.streaming:
                        entry = self.runtime._complete_one()
                        if entry is not None:
                            self._feed(encode_frame(*entry))
                            self._cut_if_due()
                        else:
                            await asyncio.sleep(0.001)  # a thread or a timer of the loop may be at work
                    else:
                        await asyncio.sleep(0.001)
            await app
        finally:
            app.cancel()

    async def receive(self) -> dict[str, Any]:
        while not self.incoming:
            self.arrived.clear()
            await self.arrived.wait()
        return self.incoming.popleft()

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] != "http.response.body" or self.attempt.ending == "cut":
            return
        for kind, _flags, payload in self.decoder.feed(event.get("body", b"")):
            self.turns_idle = 0
            assert not self.attempt.ending, f"a message after the terminal one: {kind:#06x}"
            self.attempt.frames.append((kind, payload))
            if kind in (MessageType.END, MessageType.SUSPENSION, MessageType.ERROR):
                self.attempt.ending = MessageType(kind).name.lower()
                if kind == MessageType.ERROR:
                    self.attempt.error = wire.Error.FromString(payload)
                self._feed_end()
            elif kind != MessageType.AWAITING_ON:
                for answer in self.runtime.accept(kind, payload):
                    if self.runtime.streaming:
                        self._feed(encode_frame(*answer))
                self._cut_if_due()
                if self.attempt.ending == "cut":
                    return

    def _cut_if_due(self) -> None:
        if self.cut is not None and len(self.runtime.journal) >= self.cut:
            self.attempt.ending = "cut"
            self.incoming.clear()
            self.incoming.append({"type": "http.disconnect"})
            self.arrived.set()
