"""Between the engine and the application: every message of every attempt passes here.

Owns what a harness does to attempts from outside: losing the connection at one entry, changing the order of
completions, failing fast where retries cannot help, and knowing which attempts wait for the engine alone.

Rules
1. A lost connection is seen by both sides as one: the application is told of the disconnect and unwinds, the engine
   sees a response that did not end, and tries again. Nothing that was forwarded before is lost.
2. An attempt whose handler does not follow its journal fails the invocation at once: no retry can heal it.
3. Shuffled are the results of steps within an invocation and the ends of invocations: what happens at the same time
   may end in any order. What one handler writes in a row stays in its order.

Source: ASGI 3.0; service protocol, message framing and ErrorMessage.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from durably.authoring.probes import probe
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType, is_command
from durably.testing.entries import CrashPoint, EntryLog, Moment, SeenEntry
from durably.testing.watching import Watch

__all__ = ["MISMATCH_CODE", "AttemptFailed", "Tap"]

MISMATCH_CODE: Final = 570
_FAIL: Final = 2
_LOW_SEED: Final = 570  # the first numbers are all below 0.1,
_HIGH_SEED: Final = 1643  # and here above 0.9: a branch on chance goes the other way
_LONGEST_DELAY_TURNS: Final = 24
_DISCONNECT: Final[dict[str, Any]] = {"type": "http.disconnect"}
_ENDING: Final = frozenset((MessageType.OUTPUT, MessageType.END, MessageType.SUSPENSION, MessageType.ERROR))

Frame = tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt that ended with an error.

    Attributes:
        target: `service/handler`.
        ordinal: Which invocation of this target, from 1.
        code: The protocol's error code.
        message: As the application wrote it.
        stacktrace: Likewise; empty where it wrote none.
    """

    target: str
    ordinal: int
    code: int
    message: str
    stacktrace: str = ""

    @property
    def is_mismatch(self) -> bool:
        """Whether the handler did not follow its journal."""
        return self.code == MISMATCH_CODE


class Tap:
    """An ASGI application around the tested one; for one event loop.

    Attributes:
        logs: What was seen of each invocation, by its id, in the order in which they began.
        failures: Attempts that ended with an error, oldest first.
        crashed: Whether the crash that was asked for has happened.
    """

    def __init__(
        self,
        app: Any,
        watch: Watch,
        *,
        fail_fast: bool = False,
        shuffle: int | None = None,
        crash: CrashPoint | None = None,
        on_crash: Callable[[], None] | None = None,
        disturb: bool = False,
    ) -> None:
        """Stand around `app`.

        Args:
            app: The tested application.
            watch: Knows where commands come from.
            fail_fast: Fail invocations at their first failed attempt.
            shuffle: Seed of the order of completions; None leaves it.
            crash: Where to lose the connection, once.
            on_crash: Called after it was lost and the handler was unwound.
            disturb: Whether to change the seed of `random` between attempts.
        """
        self._app = app
        self._watch = watch
        self._fail_fast = fail_fast
        self._crash = crash
        self._on_crash = on_crash
        self._disturb = disturb
        self._random = None if shuffle is None else Random(shuffle)  # noqa: S311 - repeatable on purpose
        self._open: set[_Exchange] = set()
        self._ordinals: dict[str, int] = {}
        self.logs: dict[str, EntryLog] = {}
        self.failures: list[AttemptFailed] = []
        self.crashed: bool = False

    @property
    def waiting_count(self) -> int:
        """How many open attempts wait for the engine and for nothing else."""
        return sum(exchange.is_waiting for exchange in self._open)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass one request on."""
        _, is_invocation, target = scope.get("path", "").rpartition("/invoke/")
        if not is_invocation or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        log = self._log(target, scope["headers"])
        log.attempts += 1
        if self._disturb:
            random_module.seed(_LOW_SEED if log.attempts % 2 else _HIGH_SEED)
        exchange = _Exchange(self, log, receive, send)
        self._open.add(exchange)
        probe.set(self._watch)  # for this request only: it has a task, and so variables, of its own
        try:
            await self.delay()
            await self._app(scope, exchange.receive, exchange.send)
            await exchange.finish()
        finally:
            self._open.discard(exchange)
            if exchange.is_cut and self._on_crash is not None:
                self._on_crash()

    def _log(self, target: str, headers: list[tuple[bytes, bytes]]) -> EntryLog:
        invocation_id = next((value.decode() for name, value in headers if name == b"x-restate-invocation-id"), target)
        log = self.logs.get(invocation_id)
        if log is None:
            ordinal = self._ordinals[target] = self._ordinals.get(target, 0) + 1
            log = self.logs[invocation_id] = EntryLog(target, ordinal, invocation_id)
        return log

    # ---- what exchanges ask

    async def delay(self) -> None:
        """Let others go first, for as long as chance has it."""
        if self._random is not None:
            for _ in range(self._random.randrange(_LONGEST_DELAY_TURNS)):
                await asyncio.sleep(0)

    @property
    def shuffles(self) -> Random | None:
        """What decides the order of completions, or None."""
        return self._random

    def crashes_at(self, log: EntryLog, index: int, moment: Moment) -> bool:
        """Tell, once, whether the connection is lost at this entry."""
        crash = self._crash
        if crash is None or self.crashed or crash.moment is not moment:
            return False
        self.crashed = crash.matches(log.target, log.ordinal, index)
        return self.crashed

    def note(self, log: EntryLog, index: int, kind: int, payload: bytes, *, may_be_lost: bool) -> None:
        """Keep an entry that is new."""
        if index <= log.last_index:
            return
        log.last_index = index
        what, command = log.name_of(kind, payload, log.commands)
        if is_command(kind):
            log.commands += 1
        location = None if command is None else self._watch.location(log.invocation_id, command)
        log.entries.append(SeenEntry(log.target, log.ordinal, index, what, location or None, may_be_lost))

    def judged(self, log: EntryLog, payload: bytes) -> bytes:
        """Note a failed attempt, and let the engine not repeat what cannot go better."""
        error = messages.parse(messages.Error, payload)
        self.failures.append(AttemptFailed(log.target, log.ordinal, error.code, error.message, error.stacktrace))
        is_retried_by_step = error.HasField("next_retry_delay")
        if error.code == MISMATCH_CODE or (self._fail_fast and not is_retried_by_step):
            error.behavior = _FAIL
        return error.SerializeToString()


class _Exchange:
    """One attempt."""

    def __init__(self, tap: Tap, log: EntryLog, receive: Any, send: Any) -> None:
        self._tap = tap
        self._log = log
        self._receive = receive
        self._send = send
        self._written = FrameDecoder()
        self._read = FrameDecoder()
        self._known = -1  # entries that the engine sends first, Input included
        self._index = -1  # of the newest entry
        self._proposed: set[int] = set()
        self._held: list[bytes] = []
        self._releasing: asyncio.Task[None] | None = None
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_awaiting = False

    @property
    def is_cut(self) -> bool:
        """Whether the connection was lost."""
        return self._cut.done()

    @property
    def is_waiting(self) -> bool:
        """Whether the application said so, and has read all since."""
        return self._is_awaiting and not self._held and not self.is_cut

    async def receive(self) -> Any:
        """Be the application's `receive`."""
        if self.is_cut:
            return _DISCONNECT
        event = await self._received()
        self._is_awaiting = False
        if not event.get("body"):
            return event
        for kind, _, payload in self._read.feed(event["body"]):
            if self._takes_in(kind, payload):
                self._cut.set_result(None)
                return _DISCONNECT
        return event

    async def _received(self) -> Any:
        receiving = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((receiving, self._cut), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not receiving.done():
                receiving.cancel()
        return receiving.result() if receiving.done() and not receiving.cancelled() else _DISCONNECT

    def _takes_in(self, kind: int, payload: bytes) -> bool:
        """Count what the engine sends; True when the connection is lost instead."""
        if self._known < 0:
            self._known = messages.parse(messages.Start, payload).known_entries
            return False
        if kind in (MessageType.PROPOSE_RUN_COMPLETION_ACK, MessageType.COMMAND_ACK):
            return False
        if self._index + 1 >= self._known and kind == MessageType.RUN_COMPLETION:
            completion = messages.parse(messages.Notification, payload).completion_id
            if completion in self._proposed:
                return False
        self._index += 1
        if self._index < self._known:
            return False
        self._tap.note(self._log, self._index, kind, payload, may_be_lost=False)
        return self._tap.crashes_at(self._log, self._index, Moment.AFTER)

    async def send(self, event: Any) -> None:
        """Be the application's `send`."""
        if self.is_cut:
            raise ConnectionResetError("The connection was lost, as the test asked for.")
        body = event.get("body") if event["type"] == "http.response.body" else None
        if not body:
            await self._send(event)
            return
        ready: list[bytes] = []
        kinds: set[int] = set()
        for kind, flags, payload in self._written.feed(body):
            kinds.add(kind)
            is_lost, is_stored = self._puts_out(kind, payload)
            given = self._tap.judged(self._log, payload) if kind == MessageType.ERROR else payload
            if not is_lost:
                frame = encode_frame(kind, given, flags)
                if kind == MessageType.PROPOSE_RUN_COMPLETION and self._tap.shuffles is not None:
                    self._held.append(frame)
                else:
                    ready.append(frame)
            if is_lost or is_stored:
                await self._forward([*self._held, *ready] if is_stored else ready)
                self._cut.set_result(None)
                raise ConnectionResetError("The connection was lost, as the test asked for.")
        if kinds:
            self._is_awaiting = MessageType.AWAITING_ON in kinds
        if not kinds.isdisjoint(_ENDING):
            await self._tap.delay()
            if self._held:
                ready = [*self._released_all(), *ready]
        await self._forward(ready)
        if self._held and self._releasing is None:
            self._releasing = asyncio.get_running_loop().create_task(self._release())

    def _puts_out(self, kind: int, payload: bytes) -> tuple[bool, bool]:
        """Count what the application writes; whether it is lost, and whether the connection is right after it."""
        is_entry = is_command(kind) or kind == MessageType.PROPOSE_RUN_COMPLETION
        if not is_entry:
            return False, False
        if kind == MessageType.PROPOSE_RUN_COMPLETION:
            self._proposed.add(messages.parse(messages.ProposeRunCompletion, payload).result_completion_id)
        self._index += 1
        self._tap.note(self._log, self._index, kind, payload, may_be_lost=True)
        return (
            self._tap.crashes_at(self._log, self._index, Moment.BEFORE),
            self._tap.crashes_at(self._log, self._index, Moment.AFTER),
        )

    async def _forward(self, frames: list[bytes]) -> None:
        if frames:
            await self._send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})

    def _released_all(self) -> list[bytes]:
        held, self._held = self._held, []
        random = self._tap.shuffles
        if random is not None:
            random.shuffle(held)
        return held

    async def _release(self) -> None:
        random = self._tap.shuffles
        while self._held and random is not None:
            await self._tap.delay()
            if self._held:
                await self._forward([self._held.pop(random.randrange(len(self._held)))])
        self._releasing = None

    async def finish(self) -> None:
        """Wait for what is still held back."""
        if self._releasing is not None:
            await self._releasing
