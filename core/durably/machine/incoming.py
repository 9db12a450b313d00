"""What may arrive when: Start, the recorded journal, then notifications and acknowledgements.

    state            accepted
    ---------------  ----------------------------------------------------------------
    WAITING_START    Start
    WAITING_ENTRIES  commands and notifications, until all known entries have arrived
    REPLAYING        notifications
    PROCESSING       notifications, acknowledgements of proposed steps

Types that a newer protocol may add are kept where their range says what they are; everything else
that does not fit ends the attempt.

Source: service-invocation-protocol.md, "Message stream".
"""

from __future__ import annotations

from typing import NoReturn

from google.protobuf.message import DecodeError

from durably.errors import RemoteProtocolError
from durably.machine.attempt import Attempt
from durably.machine.notifications import read_notification
from durably.machine.states import CLOSED, EXECUTING, Event, State, advance
from durably.protocol import messages
from durably.protocol.framing import Frame
from durably.protocol.messages import CLASS_OF, MessageType, is_command, is_notification

__all__ = ["Incoming"]


class Incoming(Attempt):
    """Bytes in; see `Machine`."""

    __slots__ = ()

    def receive_data(self, data: bytes) -> None:
        """Feed bytes from the runtime; afterwards send `data_to_send()` and ask for progress again.

        Args:
            data: Any chunking of the request body. Empty is ignored, and so is everything once the
                attempt is closed: keep reading the body and drop it.

        Raises:
            RemoteProtocolError: The bytes break the protocol. The attempt has failed and
                `data_to_send()` holds its Error.
        """
        if self._state in CLOSED:
            return
        try:
            frames = self._decoder.feed(data)
            position = 0
            while position < len(frames):
                if self._missing_entries:
                    position = self._receive_recorded(frames, position)
                else:
                    kind, _flags, payload = frames[position]
                    self._receive_message(kind, payload)
                    position += 1
        except RemoteProtocolError as error:
            self._die(error)

    def receive_eof(self) -> None:
        """Say that the runtime closed its side; afterwards ask for progress again.

        What is awaited and has not arrived cannot arrive any more in this attempt, so that waiting
        turns into a suspension. Calling it again changes nothing.

        Raises:
            RemoteProtocolError: The recorded journal is incomplete. The attempt has failed and
                `data_to_send()` holds its Error.
        """
        self._input_closed = True
        if self._state is State.WAITING_START or self._state is State.WAITING_ENTRIES:
            self._die(
                RemoteProtocolError(
                    f"The stream ended while {self._state.value}: {self._missing_entries} entries are missing."
                )
            )

    def _receive_recorded(self, frames: list[Frame], position: int) -> int:
        """Keep the frames that belong to the recorded journal; return the position of the first that does not."""
        end = min(len(frames), position + self._missing_entries)
        for kind, _flags, payload in frames[position:end]:
            if 0x8000 <= kind <= 0xFBFF:
                notification = read_notification(payload)
                self._received_ids.add(notification[0])
                self._queue.append(notification)
            elif 0x0400 <= kind < 0x8000:
                self._commands.append((kind, payload))
            else:
                self._refuse_message(kind)
        self._missing_entries -= end - position
        if not self._missing_entries:
            self._commands.reverse()
            self._state = advance(self._state, Event.LAST_ENTRY_RECEIVED)
        return end

    def _receive_message(self, kind: int, payload: bytes) -> None:
        if 0x8000 <= kind <= 0xFBFF and self._state in EXECUTING:  # as `is_notification`, without the call
            notification = read_notification(payload)
            self._received_ids.add(notification[0])
            self._queue.append(notification)
        elif kind == MessageType.PROPOSE_RUN_COMPLETION_ACK and self._state is State.PROCESSING:
            self._receive_ack(payload)
        elif kind == MessageType.START and self._state is State.WAITING_START:
            self._receive_start(payload)
        else:
            self._refuse_message(kind)

    def _refuse_message(self, kind: int) -> NoReturn:
        if kind in CLASS_OF:
            raise RemoteProtocolError(f"{MessageType(kind).name} must not arrive while {self._state.value}.")
        known_range = is_command(kind) or is_notification(kind) or kind > 0xFBFF
        raise RemoteProtocolError(
            f"A message of the unknown type {kind:#06x} arrived while {self._state.value}.",
            code=571 if known_range else 500,
        )

    def _receive_start(self, payload: bytes) -> None:
        try:
            start = messages.Start.FromString(payload)
            self._state_map = {entry.key.decode(): entry.value for entry in start.state_map}
        except DecodeError as error:
            raise RemoteProtocolError("Start cannot be decoded.", code=500) from error
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("A state key in Start is not UTF-8.", code=500) from error
        if not start.known_entries:
            raise RemoteProtocolError("Start announces no entries; there is at least Input.", code=500)
        start.ClearField("state_map")  # the map is kept once
        self._start = start
        self._partial_state = start.partial_state
        self._missing_entries = start.known_entries
        self._state = advance(self._state, Event.START_RECEIVED)

    def _receive_ack(self, payload: bytes) -> None:
        try:
            handle = messages.ProposeRunCompletionAck.FromString(payload).completion_id
        except DecodeError as error:
            raise RemoteProtocolError("ProposeRunCompletionAck cannot be decoded.", code=500) from error
        if handle not in self._proposed_runs:
            raise RemoteProtocolError(f"Step {handle} was acknowledged, but this attempt has not proposed it.")
        # The result takes its place among the notifications where the ack stands, which is where the journal has it.
        self._received_ids.add(handle)
        self._queue.append((handle, self._proposed_runs.pop(handle)))
