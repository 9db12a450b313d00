"""A runtime as small as possible: keeps a journal, answers commands as a program says, opens attempts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from typing import Any

from durably.machine import Failure, Result
from durably.protocol import messages
from durably.protocol.framing import encode_frame
from durably.protocol.messages import CLASS_OF, MessageType, is_command
from durably.protocol.versions import ProtocolVersion
from tests.machine.programs import Program
from tests.machine.wire import Entry, ack, frames_of, input_entry, notification, signal, start

T = MessageType

ENDINGS = frozenset({T.SUSPENSION, T.END, T.ERROR})


class Model:
    """The runtime's side of one invocation.

    Attributes:
        journal: Entries stored so far.
        ended: Type of the message that ended the current attempt, or None.
    """

    def __init__(self, program: Program, version: ProtocolVersion, journal: Iterable[Entry] | None = None) -> None:
        self.program = program
        self.version = version
        self.journal: list[Entry] = list(journal) if journal is not None else [input_entry()]
        self.ended: MessageType | None = None
        # Stored entries with the bytes that tell the handler of them, oldest first; then those to come later.
        self._outbox: deque[tuple[Entry, bytes]] = deque()
        self._later: deque[Entry] = deque()
        self._opened = False
        self._commands = sum(1 for kind, _ in self.journal if is_command(kind)) - 1
        stored_signals = sum(1 for kind, _ in self.journal if kind == T.SIGNAL)
        self._signals = sorted(program.signals, key=lambda item: item[0])[stored_signals:]
        self._answer_stored()

    def open(self) -> bytes:
        """Begin an attempt: Start and the whole journal."""
        self.ended = None
        if self._opened:
            self.journal += [stored for stored, _ in self._outbox]
            self._outbox.clear()
        self._opened = True
        fields: dict[str, Any] = dict(self.program.start_fields)
        return start(
            len(self.journal),
            state_map=[messages.StateEntry(key=key.encode(), value=value) for key, value in self.program.state],
            partial_state=self.program.partial,
            **fields,
        ) + frames_of(self.journal)

    def deliver(self) -> bytes:
        """Tell the handler of the next stored entry; b"" when there is none."""
        self._send_signals()
        if not self._outbox:
            return b""
        stored, data = self._outbox.popleft()
        self.journal.append(stored)
        return data

    def release(self) -> bool:
        """Complete the next thing that was to come later; False when there is none."""
        if not self._later:
            return False
        self._tell(self._later.popleft())
        return True

    def receive(self, frames: Iterable[tuple[int, int, bytes]]) -> None:
        """Take what the handler wrote."""
        for kind, flags, payload in frames:
            assert self.ended is None, "a frame follows the one that ended the attempt"
            if is_command(kind):
                self.journal.append((kind, payload))
                self._commands += 1
                self._answer(kind, CLASS_OF[kind].FromString(payload))
                self._send_signals()
            elif kind == T.PROPOSE_RUN_COMPLETION:
                self._store_step(messages.ProposeRunCompletion.FromString(payload), flags)
            elif kind in ENDINGS:
                self.ended = MessageType(kind)
            else:
                assert kind == T.AWAITING_ON
                assert self.version >= ProtocolVersion.V7

    def _answer_stored(self) -> None:
        """Complete what a journal that was cut off still owes."""
        completed = {
            messages.Notification.FromString(payload).completion_id for kind, payload in self.journal if kind >= 0x8000
        }
        for kind, payload in self.journal:
            if is_command(kind):
                self._answer(kind, CLASS_OF[kind].FromString(payload), completed)

    def _tell(self, stored: Entry, data: bytes | None = None) -> None:
        self._outbox.append((stored, encode_frame(*stored) if data is None else data))

    def _send_signals(self) -> None:
        while self._signals and self._signals[0][0] <= self._commands:
            _, handle, result = self._signals.pop(0)
            self._tell(signal(-handle if isinstance(handle, int) else handle, result))

    def _store_step(self, proposal: messages.ProposeRunCompletion, flags: int) -> None:
        handle = proposal.result_completion_id
        completion = messages.Notification(completion_id=handle)
        if proposal.HasField("failure"):
            completion.failure.CopyFrom(proposal.failure)
        else:
            completion.value.content = proposal.value
        stored = (int(T.RUN_COMPLETION), completion.SerializeToString())
        self._tell(stored, ack(handle) if flags & messages.REQUESTED_ACK else None)

    def _answer(self, kind: int, command: Any, completed: Container[int] = ()) -> None:
        answer = _ANSWERS.get(MessageType(kind))
        for completion, handle, result in answer(self, command) if answer else []:
            if handle in completed:
                continue
            stored = notification(completion, handle, result)
            if handle in self.program.later:
                self._later.append(stored)
            else:
                self._tell(stored)

    def result(self, handle: int, value: bytes | None = b'"result"') -> Result:
        """Give the result of something that may fail."""
        return Failure(418, "teapot") if handle in self.program.failing else value


Answer = Callable[[Model, Any], list[tuple[MessageType, int, Result]]]


def _single(kind: MessageType, value: bytes | None) -> Answer:
    return lambda model, command: [
        (kind, command.result_completion_id, model.result(command.result_completion_id, value))
    ]


def _void_or(kind: MessageType, value: Result) -> Answer:
    return lambda _, command: [(kind, command.result_completion_id, value)]


def _child(model: Model, command: Any) -> list[tuple[MessageType, int, Result]]:
    handle = command.invocation_id_notification_idx
    return [(T.CALL_INVOCATION_ID_COMPLETION, handle, f"inv_child{handle}")]


def _call(model: Model, command: Any) -> list[tuple[MessageType, int, Result]]:
    handle = command.result_completion_id
    return [*_child(model, command), (T.CALL_COMPLETION, handle, model.result(handle))]


_ANSWERS: dict[MessageType, Answer] = {
    T.GET_LAZY_STATE: _void_or(T.GET_LAZY_STATE_COMPLETION, b"lazy"),
    T.GET_LAZY_STATE_KEYS: _void_or(T.GET_LAZY_STATE_KEYS_COMPLETION, ("k1", "k2")),
    T.GET_PROMISE: _single(T.GET_PROMISE_COMPLETION, b"kept"),
    T.PEEK_PROMISE: _single(T.PEEK_PROMISE_COMPLETION, None),
    T.COMPLETE_PROMISE: _single(T.COMPLETE_PROMISE_COMPLETION, None),
    T.SLEEP: _void_or(T.SLEEP_COMPLETION, None),
    T.CALL: _call,
    T.ONE_WAY_CALL: _child,
    T.ATTACH_INVOCATION: _single(T.ATTACH_INVOCATION_COMPLETION, b"attached"),
    T.GET_INVOCATION_OUTPUT: _single(T.GET_INVOCATION_OUTPUT_COMPLETION, None),
}
