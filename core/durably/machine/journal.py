"""One command of the handler: written to the journal, or compared with what the journal holds.

Rules of replay

1. The handler's n-th command is compared with the n-th recorded one. No command is written until all
   recorded ones were taken.
2. Types must be equal. (Reading state is the exception: it may have been recorded as eager or lazy.)
3. Contents must be equal, apart from the fields in `mismatches.NOT_COMPARED`; payloads count only
   while `check_payloads` is on.
4. Equal bytes are equal contents, so that messages are parsed only when their bytes differ.

Completion ids are counted by every operation that may have a result, replayed or new, so that the
same handler always gives the same ids.
"""

from __future__ import annotations

from typing import NoReturn, TypeVar

from google.protobuf.message import DecodeError, Message

from durably.errors import CommandInfo, JournalMismatchError, LocalProtocolError, RemoteProtocolError
from durably.machine.attempt import encodable
from durably.machine.incoming import Incoming
from durably.machine.mismatches import Cause, cause_of, describe, differences
from durably.machine.states import Event, State, advance
from durably.machine.values import Failure
from durably.protocol import messages
from durably.protocol.framing import HEADER
from durably.protocol.messages import CLASS_OF, MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["Journal"]

MessageT = TypeVar("MessageT", bound=Message)

_PROCESSING = State.PROCESSING
_pack_header = HEADER.pack
_REPLAYING = State.REPLAYING


class Journal(Incoming):
    """Commands in the order of the handler; see `Machine`."""

    __slots__ = ()

    def _journal(self, kind: int, name: str, payload: bytes) -> None:
        """Write a command, or take the recorded one and compare.

        Args:
            kind: Type of the command.
            name: Its name, for errors about it.
            payload: It, serialized.
        """
        if self._state is _PROCESSING:
            self._command_index += 1
            self._command_type = kind
            self._command_name = name
            self._first_entry = False
            if len(payload) > self._max_message_bytes:
                self._refuse_size(kind, len(payload))
            self._output.append(_pack_header(kind, 0, len(payload)) + payload)
            return
        recorded_kind, recorded = self._take_recorded(kind, name)
        if recorded != payload or recorded_kind != kind:
            self._compare(recorded_kind, recorded, kind, payload)

    def _take_recorded(self, kind: int, name: str) -> tuple[int, bytes]:
        """Take the next recorded command, for a command of the handler that is to be compared with it."""
        if self._state is not _REPLAYING:
            self._refuse(MessageType(kind).name)
        self._command_index += 1
        self._command_type = kind
        self._command_name = name
        commands = self._commands
        if not commands:
            # Only a journal without any command gets here: taking the last one ends the replay.
            self._die(
                LocalProtocolError(
                    f"{MessageType(kind).name} was asked for, but the recorded journal holds no command.",
                    command=self.last_command,
                )
            )
        recorded = commands.pop()
        if not commands:
            self._state = advance(self._state, Event.LAST_COMMAND_TAKEN)
        return recorded

    def _require_equal(self, kind: int, recorded: bytes, payload: bytes) -> None:
        """Fail the attempt unless a taken command means the same as `payload`."""
        if recorded != payload:
            self._compare(kind, recorded, kind, payload)

    def _failure(self, failure: Failure) -> messages.Failure:
        """Write a failure.

        Raises:
            UnsupportedFeatureError: It has metadata and the protocol version has none.
        """
        if failure.metadata:
            self._require_open("A failure with metadata")
            self._need(ProtocolVersion.V6, "Metadata of a failure")
        return messages.Failure(
            code=failure.code,
            message=encodable(failure.message),
            metadata=[
                messages.FailureMetadata(key=encodable(key), value=encodable(value)) for key, value in failure.metadata
            ],
        )

    def _compare(self, recorded_kind: int, recorded: bytes, kind: int, payload: bytes) -> None:
        """Fail the attempt unless two commands whose bytes differ mean the same."""
        message_class = CLASS_OF[kind]
        asked = message_class.FromString(payload)
        if recorded_kind != kind:
            self._refuse_other_command(recorded_kind, recorded, describe(kind, asked))
        held = self._parse_recorded(message_class, recorded)
        found = differences(kind, held, asked, with_payloads=self._check_payloads)
        if found:
            self._mismatch(
                f"{describe(kind, held)} differs ({'; '.join(map(str, found))})",
                expected=describe(kind, held),
                found=describe(kind, asked),
                hint=cause_of(found),
                command=self.last_command,
            )

    def _refuse_other_command(self, kind: int, recorded: bytes, asked: str) -> NoReturn:
        """Fail the attempt because the recorded command has another type than `asked`."""
        held = self._describe_recorded(kind, recorded)
        self._mismatch(
            f"the journal holds {held}, but the handler asked for {asked}",
            expected=held,
            found=asked,
            hint=Cause.OTHER_PATH,
            command=self.last_command,
        )

    def _mismatch(self, what: str, *, expected: str, found: str, hint: str, command: CommandInfo | None) -> NoReturn:
        """Fail the attempt because the handler does not follow its journal."""
        location = self._locate() if self._locate is not None else None
        place = f" The call is at {location}." if location else ""
        self._die(
            JournalMismatchError(
                f"The handler does not follow its journal at command {self._command_index}: {what}.{place}",
                index=self._command_index,
                expected=expected,
                found=found,
                command=command,
                hint=hint,
                location=location,
            )
        )

    def _describe_recorded(self, kind: int, payload: bytes) -> str:
        if kind not in CLASS_OF:
            return f"an entry of the unknown type {kind:#06x}"
        return describe(kind, self._parse_recorded(CLASS_OF[kind], payload))

    def _parse_recorded(self, message_class: type[MessageT], payload: bytes) -> MessageT:
        try:
            return message_class.FromString(payload)
        except DecodeError as error:
            name = message_class.DESCRIPTOR.name
            self._die(
                RemoteProtocolError(
                    f"The recorded {name} (command {self._command_index}) cannot be decoded: {error}",
                    code=500,
                    command=self.last_command,
                )
            )
