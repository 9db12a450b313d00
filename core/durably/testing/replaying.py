"""Replaying recorded journals against the present code.

Owns one attempt without a runtime: the handler is given a whole journal, must follow it, and executes nothing. A
journal that was recorded by an earlier release thereby says whether invocations that began there can go on here.

Rules
1. A step whose result the journal does not hold is not executed; there the replay ends, and counts as followed.
2. A handler that fails while commands are left in the journal does not follow it.
3. Without the seed of the random generator (a real server does not tell it) payloads are not compared, nor the keys of
   calls, which may be made of random numbers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.handlers import Handler, handler_of
from durably.authoring.location import caller_location
from durably.authoring.probes import probe
from durably.authoring.runs import is_coroutine_action
from durably.authoring.sync_attempt import run_sync_attempt
from durably.endpoint import Endpoint
from durably.errors import UsageError
from durably.hosting.aio import run_attempt
from durably.machine import Machine, MachineOptions
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import CLASS_OF, MessageType
from durably.protocol.versions import ProtocolVersion
from durably.testing.applications import tested
from durably.testing.findings import of_failure
from durably.testing.journals import RecordedJournal, load
from durably.testing.tap import MISMATCH_CODE, AttemptFailed

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = ["Mismatch", "assert_replays", "handler_for", "replay"]

_END_OF_JOURNAL: Final = "The journal ends here."
_CALLS: Final = frozenset((MessageType.CALL, MessageType.ONE_WAY_CALL))
_KEYS: Final = ("key", "idempotency_key")


class _JournalEndedError(Exception):
    """A step would have to be executed."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where a handler leaves a journal.

    Attributes:
        target: `service/handler`.
        invocation_id: Whose journal.
        message: What the journal holds and what the handler does.
        location: `file:line in function`.
    """

    target: str
    invocation_id: str
    message: str
    location: str

    def __str__(self) -> str:
        return f"{self.message}\n  at:      {self.location}\n  journal: {self.invocation_id}"


class _ReplayMachine(Machine):
    """A machine that tells how much of the journal is left, and may let calls go to other keys."""

    __slots__ = ("any_key", "left")

    left: int
    any_key: bool

    def _compare(self, recorded_kind: int, recorded: bytes, kind: int, payload: bytes) -> None:
        if self.any_key and recorded_kind == kind and kind in _CALLS:
            held, asked = (CLASS_OF[kind].FromString(each) for each in (recorded, payload))
            for name in _KEYS:
                if getattr(held, name) and getattr(asked, name):
                    setattr(asked, name, getattr(held, name))
            payload = asked.SerializeToString()
        super()._compare(recorded_kind, recorded, kind, payload)

    def fail(self, *args: Any, **kwargs: Any) -> None:
        self.left = len(self._commands)
        super().fail(*args, **kwargs)


class _Replaying:
    """The probe of a replay: nothing is executed."""

    def __init__(self, *, any_key: bool) -> None:
        self._any_key = any_key

    def now_ms(self) -> int:
        return 0  # times are not compared

    def machine(self, version: ProtocolVersion, options: MachineOptions) -> Machine:
        machine = _ReplayMachine(version, options, locate=caller_location)
        machine.any_key = self._any_key
        return machine

    def step(self, name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def end(*args: Any, **kwargs: Any) -> Any:
            raise _JournalEndedError(_END_OF_JOURNAL)

        async def end_later(*args: Any, **kwargs: Any) -> Any:
            end()

        return end_later if is_coroutine_action(action) else end

    def swallowed(self, context: Context, outcome: object) -> None:
        """Nothing: a suspended replay has ended."""


class _Stream:
    """The connection of a replay: the journal and its end in, whatever comes out."""

    def __init__(self, data: bytes) -> None:
        self._incoming: list[bytes | None] = [data, None]
        self._decoder = FrameDecoder()
        self.frames: list[tuple[int, int, bytes]] = []

    async def receive_event(self) -> dict[str, Any]:
        if not self._incoming:
            await asyncio.get_running_loop().create_future()
        data = self._incoming.pop(0)
        return {"type": "http.request", "body": data or b"", "more_body": data is not None}

    async def send_event(self, event: dict[str, Any]) -> None:
        self.send(event.get("body", b""))

    def send(self, data: bytes) -> None:
        self.frames += self._decoder.feed(data)

    def receive(self) -> bytes | None:
        return self._incoming.pop(0) if self._incoming else b""

    def wake(self) -> None:
        """Nothing waits."""

    def submit(self, function: Callable[[], None]) -> None:
        function()

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Never."""


async def replay(handler: Handler, journal: RecordedJournal, endpoint: Endpoint | None = None) -> Mismatch | None:
    """Let a handler follow a journal; nothing is executed, and nothing is written anywhere.

    Args:
        handler: The present code.
        journal: As it was recorded.
        endpoint: What the handler belongs to, for its codec and failure maps; None does without.

    Returns:
        Where it leaves the journal, or None when it follows to the end.
    """
    endpoint = endpoint or Endpoint()
    options = endpoint.machine_options
    if journal.random_seed is None:
        options = replace(options, check_payloads=False)
    watching = _Replaying(any_key=journal.random_seed is None)
    machine = watching.machine(journal.version, options)
    stream = _Stream(_frames_of(journal))
    token = probe.set(watching)
    try:
        if handler.is_async:
            await run_attempt(handler, endpoint, machine, {}, stream.receive_event, stream.send_event)
        else:
            await asyncio.to_thread(run_sync_attempt, handler, endpoint, machine, {}, stream)
    finally:
        probe.reset(token)
    return _judged(handler, journal, stream.frames, left=getattr(machine, "left", 0))


def _frames_of(journal: RecordedJournal) -> bytes:
    start = messages.Start(
        id=journal.raw_id,
        debug_id=journal.invocation_id,
        known_entries=len(journal.entries),
        partial_state=True,
        key=journal.key,
        random_seed=journal.random_seed or 0,
    )
    return encode_frame(MessageType.START, start.SerializeToString()) + b"".join(
        encode_frame(kind, payload) for kind, payload in journal.entries
    )


def _judged(
    handler: Handler, journal: RecordedJournal, frames: Iterable[tuple[int, int, bytes]], *, left: int
) -> Mismatch | None:
    for kind, _, payload in frames:
        if kind != MessageType.ERROR:
            continue
        error = messages.parse(messages.Error, payload)
        if error.code != MISMATCH_CODE and (_END_OF_JOURNAL in error.message or not left):
            continue
        finding = of_failure(AttemptFailed(journal.target, 1, error.code, error.message), "")
        message = finding.what if error.code == MISMATCH_CODE else f"{finding.what} ({left} recorded commands are left)"
        return Mismatch(journal.target, journal.invocation_id, message, finding.location or _definition(handler))
    return None


def _definition(handler: Handler) -> str:
    code = getattr(handler.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno} in {code.co_qualname}" if code else repr(handler.function)


def handler_for(code: Any, journal: RecordedJournal) -> tuple[Handler, Endpoint | None]:
    """Give the handler that a journal is of.

    Args:
        code: The decorated function, services, an application, or an adapter's object.
        journal: The journal.

    Raises:
        UsageError: There is no such handler in it.
    """
    if isinstance(code, Handler) or hasattr(code, "__code__"):
        return handler_of(code), None
    endpoint = tested(code, None).endpoint
    handler = None if endpoint is None else endpoint.find(journal.service, journal.handler)
    if handler is None:
        raise UsageError(f"There is no handler {journal.target} any more.", hint="Invocations of it could not go on.")
    return handler, endpoint


def assert_replays(code: Any, *journals: RecordedJournal | str | Path) -> None:
    """Fail unless the present code follows journals that were recorded before.

    Args:
        code: The decorated function, services, an application, or an adapter's object.
        journals: Journals, files with one, and folders of files.

    Raises:
        AssertionError: It does not; with the line at which it leaves each journal.
        UsageError: There is no such handler, or nothing to replay.
        JournalError: A file holds no journal.
    """
    recorded = [journal for given in journals for journal in _loaded(given)]
    if not recorded:
        raise UsageError("There is no journal to replay.")
    mismatches: list[Mismatch] = []

    async def replay_all() -> None:
        for journal in recorded:
            handler, endpoint = handler_for(code, journal)
            mismatch = await replay(handler, journal, endpoint)
            if mismatch is not None:
                mismatches.append(mismatch)

    _run_aside(replay_all)
    assert not mismatches, "\n".join(map(str, mismatches))


def _loaded(given: RecordedJournal | str | Path) -> list[RecordedJournal]:
    if isinstance(given, RecordedJournal):
        return [given]
    path = Path(given)
    return [load(each) for each in sorted(path.glob("*.json"))] if path.is_dir() else [load(path)]


def _run_aside(work: Callable[[], Any]) -> None:
    """Run a coroutine function on a thread of its own, so that it does not matter whether a loop runs here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="durably-test-replay")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
