"""`Machine`: one attempt of one invocation, as the driver and the contexts use it."""

from __future__ import annotations

import hashlib
from typing import Final

from durably.errors import LocalProtocolError
from durably.machine.awaiting import Awaiting
from durably.machine.calls import Calls
from durably.machine.keyed_state import KeyedState
from durably.machine.states import Event, State
from durably.machine.values import Failure, InvocationInput
from durably.protocol import messages
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Machine"]

_SMALL: Final = 126  # bytes of a value whose message still has a length of one byte


class Machine(KeyedState, Calls, Awaiting):
    """One attempt of one invocation. Bytes in, bytes and decisions out; for use by one thread at a time.

    Life: feed `receive_data` until `is_ready_to_execute`, then `take_input` once and run the handler.
    Each durable operation is a `sys_…` call, each await is a `progress` call followed by `take`. The
    handler's outcome is `sys_output` then `sys_end`, or `fail`. Send `data_to_send()` before each
    wait, after each proposal, and at the end; then keep reading and dropping the request until it
    ends. `is_closed` says that the attempt is over, whoever ended it.

    What `sys_…` calls can raise, besides what they say themselves:

    - `JournalMismatchError`: the journal holds something else at this place. The attempt has failed.
    - `RemoteProtocolError`: what the journal holds cannot be read. The attempt has failed.
    - `LocalProtocolError` with code 571: the call is not allowed in this state, for example before
      the handler may run; with code 500: the command is larger than `max_message_bytes`. The attempt
      has failed.
    - `LocalProtocolError` with code 598: the attempt was over before. Nothing was written.
    - `ValueError`, `TypeError`: a text has no UTF-8 form, or an argument has the wrong type. Nothing
      was journaled and the machine stays usable.

    "The attempt has failed" means that `data_to_send()` holds its Error and `is_closed` is True.

    Attributes:
        version: The service protocol version of this attempt.
        options: The choices it was made with.
        run_to_execute: After `Progress.EXECUTE_RUN`, the handle of the step to execute.
    """

    __slots__ = ()

    def take_input(self) -> InvocationInput:
        """Take what the handler is invoked with, then run the handler. Call it once, before any `sys_…` call.

        Raises:
            LocalProtocolError: Recorded entries are missing, or it was called before. The attempt has failed.
            JournalMismatchError: The journal does not begin with an input. The attempt has failed.
            RemoteProtocolError: The input cannot be read. The attempt has failed.
        """
        kind, payload = self._take_recorded(MessageType.INPUT, "")
        if kind != MessageType.INPUT:
            self._refuse_other_command(kind, payload, "input")
        command = self._parse_recorded(messages.InputCommand, payload)
        start = self._start_message()
        if self.version >= ProtocolVersion.V6:
            random_seed = start.random_seed
        else:
            random_seed = int.from_bytes(hashlib.sha256(start.id).digest()[:8], "big")
        scope = limit_key = idempotency_key = None
        if self.version >= ProtocolVersion.V7:
            scope = start.scope if start.HasField("scope") else None
            limit_key = start.limit_key if start.HasField("limit_key") else None
            idempotency_key = start.idempotency_key if start.HasField("idempotency_key") else None
        return InvocationInput(
            start.id,
            start.debug_id,
            start.key,
            tuple([(header.key, header.value) for header in command.headers]) if command.headers else (),
            command.value.content,
            random_seed,
            scope,
            limit_key,
            idempotency_key,
            start.known_entries,
        )

    def sys_sleep(self, wake_up_time_ms: int, name: str = "") -> int:
        """Start a timer, then await the handle: None comes when it is due.

        Args:
            wake_up_time_ms: When it is due, in milliseconds since the epoch. On replay the recorded
                time holds, whatever is given here.
            name: Label of the command, for observability.

        Raises:
            LocalProtocolError: See `Machine`.
        """
        handle = self._next_completion
        command = messages.SleepCommand(wake_up_time=wake_up_time_ms, result_completion_id=handle, name=name)
        self._journal(MessageType.SLEEP, name, command.SerializeToString())
        self._next_completion = handle + 1
        return handle

    def sys_output(self, result: bytes | Failure) -> None:
        """Write what the handler returned, or failed with for good; then call `sys_end`.

        Args:
            result: A value or a terminal failure.

        Raises:
            UnsupportedFeatureError: The failure has metadata and the protocol version has none.
            LocalProtocolError: See `Machine`.
        """
        if isinstance(result, Failure):
            payload = messages.OutputCommand(failure=self._failure(result)).SerializeToString()
        elif 0 < (size := len(result)) < _SMALL:  # written by hand, as small steps are
            payload = b"r%c\n%c%b" % (size + 2, size, result)
        else:
            payload = messages.OutputCommand(value=messages.Value(content=result)).SerializeToString()
        self._journal(MessageType.OUTPUT, "", payload)

    def sys_end(self) -> None:
        """End the invocation; then send `data_to_send()`. The attempt is over.

        Raises:
            LocalProtocolError: The last command is no output, or recorded commands are left. The attempt
                has failed. With code 598: it was over before.
        """
        if self._state is not State.PROCESSING:
            self._refuse("End")
        if self._command_type != MessageType.OUTPUT:
            self._die(LocalProtocolError("The invocation cannot end without an output.", command=self.last_command))
        self._send(MessageType.END, b"")
        self._close(Event.END_WRITTEN)
