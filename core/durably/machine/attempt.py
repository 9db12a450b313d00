"""What an attempt is made of: its state, its buffers, what it sends, and how it fails.

What may arrive, and what the handler may call, stands in the modules built on it:

    attempt    state, buffers, sending, errors             (this module)
    incoming   what may arrive when
    journal    one command of the handler: replay or write
    keyed_state, calls, promises, signals, runs            the handler's operations
    awaiting   waiting, suspension, cancellation
    invocation all of it: `Machine`
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

from durably.errors import (
    CommandInfo,
    JournalMismatchError,
    LocalProtocolError,
    ProtocolError,
    UnsupportedFeatureError,
)
from durably.machine.options import DEFAULT_OPTIONS, ErrorBehavior, MachineOptions
from durably.machine.states import CLOSED, EXECUTING, Event, State, advance
from durably.machine.values import FIRST_FREE_SIGNAL, Failure, Handle, Result
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Attempt", "encodable"]

_MAX_TEXT: Final = 64 * 1024
# Characters of a message or stack trace, so that an exception with a huge text cannot make the one
# message that must always fit exceed the peer's limit.

_NOT_FOR_THE_WIRE: Final = frozenset({598, 599})
# Codes with which SDKs unwind handlers locally. The runtime does not know them.


class Attempt:
    """State and buffers of one attempt; see `Machine` for what its methods ask of the caller."""

    __slots__ = (
        "_check_payloads",
        "_children",
        "_command_index",
        "_command_name",
        "_command_type",
        "_commands",
        "_decoder",
        "_executing_runs",
        "_first_entry",
        "_further_cancellations",
        "_implicit_cancellation",
        "_input_closed",
        "_locate",
        "_max_message_bytes",
        "_missing_entries",
        "_next_completion",
        "_next_signal",
        "_output",
        "_partial_state",
        "_proposed_runs",
        "_queue",
        "_ready",
        "_received_ids",
        "_start",
        "_state",
        "_state_map",
        "_waiting_runs",
        "options",
        "run_to_execute",
        "version",
    )

    def __init__(
        self,
        version: ProtocolVersion,
        options: MachineOptions = DEFAULT_OPTIONS,
        *,
        locate: Callable[[], str | None] | None = None,
    ) -> None:
        self.version: ProtocolVersion = version
        self.options: MachineOptions = options
        self.run_to_execute: int = 0
        self._locate = locate
        self._max_message_bytes = options.max_message_bytes
        self._check_payloads = options.check_payloads
        self._implicit_cancellation = options.implicit_cancellation
        self._state = State.WAITING_START
        self._decoder = FrameDecoder(options.max_message_bytes)
        self._output: list[bytes] = []
        self._input_closed = False
        self._start: messages.Start | None = None
        # Known entries that have not arrived yet.
        self._missing_entries = 0
        # Recorded commands as type and payload. The next one is at the end once all have arrived.
        self._commands: list[tuple[int, bytes]] = []
        # Notifications that no await has looked at, oldest first; then those that one has.
        self._queue: deque[tuple[Handle, Result]] = deque()
        self._ready: dict[Handle, Result] = {}
        self._received_ids: set[Handle] = set()
        self._next_completion = 1
        self._next_signal = FIRST_FREE_SIGNAL
        self._command_index: int = -1
        self._command_type = 0
        self._command_name = ""
        # Whether no new command was written yet, so that the counters in Start are about the last recorded one.
        self._first_entry = True
        # Eager state: None stands for a key that is known to have no value.
        self._state_map: dict[str, bytes | None] = {}
        self._partial_state = True
        # Steps by handle, with index and name of their command; then results that wait for their ack.
        self._waiting_runs: dict[int, tuple[int, str]] = {}
        self._executing_runs: dict[int, tuple[int, str]] = {}
        self._proposed_runs: dict[int, bytes | Failure] = {}
        # Invocation id of each child by the handle that brings it, in creation order; None while unknown.
        self._children: dict[int, str | None] = {}
        # Cancellations that came while another one waited for the id of a child.
        self._further_cancellations = 0

    # ---- what is known

    @property
    def state(self) -> State:
        """Where the attempt is."""
        return self._state

    @property
    def is_ready_to_execute(self) -> bool:
        """Whether the handler may run: all recorded entries are here, and nothing ended the attempt."""
        return self._state in EXECUTING

    @property
    def is_replaying(self) -> bool:
        """Whether recorded commands are left. While True, the handler repeats what it did before."""
        return self._state is State.REPLAYING

    @property
    def is_closed(self) -> bool:
        """Whether End, Suspension or Error was written. Send what is left; nothing more will come."""
        return self._state in CLOSED

    @property
    def input_closed(self) -> bool:
        """Whether `receive_eof` was called."""
        return self._input_closed

    @property
    def last_command(self) -> CommandInfo | None:
        """The command that the handler asked for last, replayed or new; None before the first."""
        if self._command_index < 0:
            return None
        return CommandInfo(self._command_index, self._command_type, self._command_name)

    # ---- bytes

    def data_to_send(self) -> bytes:
        """Take everything written since the last call; b"" when there is nothing.

        Send it before waiting, after proposing a step's result, and when the attempt is closed.
        """
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def _start_message(self) -> messages.Start:
        """Give Start. Only called while the handler may run, hence after it arrived."""
        assert self._start is not None
        return self._start

    # ---- outgoing messages and the end

    def _send(self, kind: int, payload: bytes, flags: int = 0) -> None:
        if len(payload) > self._max_message_bytes:
            self._refuse_size(kind, len(payload))
        self._output.append(encode_frame(kind, payload, flags))

    def _refuse_size(self, kind: int, size: int) -> NoReturn:
        self._die(
            LocalProtocolError(
                f"{MessageType(kind).name} has {size} bytes; the limit is {self._max_message_bytes}.",
                code=500,
                command=self.last_command,
                hint="Store large values elsewhere and pass a reference, or raise the limit on both sides.",
            )
        )

    def _close(self, event: Event) -> None:
        self._state = advance(self._state, event)
        # Nothing of this will be looked at again; a suspended handler may keep the machine alive for a while.
        self._commands.clear()
        self._queue.clear()
        self._ready.clear()
        self._state_map.clear()
        self._proposed_runs.clear()

    def fail(
        self,
        *,
        code: int = 500,
        message: str,
        stacktrace: str = "",
        next_retry_delay_ms: int | None = None,
        command: CommandInfo | None = None,
        behavior: ErrorBehavior = ErrorBehavior.RETRY,
    ) -> None:
        """End the attempt with an Error, then send `data_to_send()`. Ignored when already closed.

        Args:
            code: 1 to 65535; others, and 598 and 599, which are for local use, become 500.
            message: Text for operators; cut after 64 Ki characters.
            stacktrace: Where it happened; cut likewise.
            next_retry_delay_ms: Milliseconds until the next attempt; None leaves it to the runtime.
            command: The command that the failure is about, if one is known.
            behavior: What the runtime does with the invocation.

        Raises:
            UnsupportedFeatureError: `behavior` needs protocol V7. The attempt has failed with that.

        Source: service protocol, ErrorMessage.
        """
        if self._state in CLOSED:
            return
        if behavior is not ErrorBehavior.RETRY:
            self._need(ProtocolVersion.V7, "An error behavior other than RETRY")
        error = messages.Error(
            code=code if 0 < code <= 0xFFFF and code not in _NOT_FOR_THE_WIRE else 500,
            message=encodable(message[:_MAX_TEXT]),
            stacktrace=encodable(stacktrace[:_MAX_TEXT]),
        )
        if behavior is not ErrorBehavior.RETRY:
            error.behavior = behavior
        if command is not None:
            error.related_command_index = command.index
            error.related_command_type = command.type
            if command.name:
                error.related_command_name = encodable(command.name)
        if next_retry_delay_ms is not None:
            error.next_retry_delay = max(0, next_retry_delay_ms)
        self._output.append(encode_frame(MessageType.ERROR, error.SerializeToString()))
        self._close(Event.ERROR_WRITTEN)

    def _die(self, error: ProtocolError) -> NoReturn:
        """Fail the attempt with `error`, then raise it."""
        behavior = ErrorBehavior.RETRY
        if isinstance(error, JournalMismatchError) and self.version >= ProtocolVersion.V7:
            behavior = self.options.mismatch_behavior
        self.fail(code=error.code, message=str(error), command=error.command, behavior=behavior)
        raise error

    def _need(self, version: ProtocolVersion, feature: str) -> None:
        """Fail the attempt if it speaks a version older than `version`."""
        if self.version < version:
            self._die(
                UnsupportedFeatureError(
                    f"{feature} needs service protocol V{version}; this invocation uses V{self.version}.",
                    hint="Upgrade the runtime, or do without.",
                )
            )

    def _require_open(self, call: str) -> None:
        """Refuse a call that journals nothing unless the handler may run."""
        if self._state is not State.PROCESSING and self._state is not State.REPLAYING:
            self._refuse(call)

    def _refuse(self, call: str) -> NoReturn:
        """Raise for a call that the state does not allow; fail the attempt if it is still open."""
        if self._state in CLOSED:
            raise LocalProtocolError(
                f"{call} was asked for, but the attempt is over ({self._state.value}).",
                code=598,
                hint="A handler that goes on after its attempt ended has caught the signal that should have unwound it"
                " (with `except:` or `except BaseException`), or its context is used by something that outlived it.",
            )
        self._die(LocalProtocolError(f"{call} is not allowed while {self._state.value}."))


def encodable(text: str) -> str:
    """Escape lone surrogates, which have no UTF-8 form: the text of an exception can hold anything."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
