"""Building and reading frames in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from durably.machine import Failure, Machine, MachineOptions, Result
from durably.protocol import messages
from durably.protocol.framing import FrameDecoder, encode_frame
from durably.protocol.messages import CLASS_OF, MessageType
from durably.protocol.versions import ProtocolVersion

V5, V6, V7 = ProtocolVersion
VERSIONS = (V5, V6, V7)

INVOCATION_ID = bytes.fromhex("493c42ed1c3cf1bc018e5257b998007db7f4f3f47e809584")
DEBUG_ID = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"

Entry = tuple[int, bytes]
"""Type and payload of a journal entry."""


@dataclass(frozen=True)
class Written:
    """A frame that a machine wrote."""

    type: MessageType
    flags: int
    message: Any


def frame(kind: int, message: Message) -> bytes:
    """Build a frame."""
    return encode_frame(kind, message.SerializeToString())


def frames_of(entries: list[Entry]) -> bytes:
    """Build the frames of journal entries."""
    return b"".join(encode_frame(kind, payload) for kind, payload in entries)


def entry(kind: MessageType, **fields: Any) -> Entry:
    """Build a journal entry from the fields of its message."""
    return kind, CLASS_OF[kind](**fields).SerializeToString()


def input_entry(body: bytes = b'"in"', **fields: Any) -> Entry:
    """Build the entry that is always the first."""
    return entry(MessageType.INPUT, value=messages.Value(content=body), **fields)


def start(known_entries: int, **fields: Any) -> bytes:
    """Build the frame of Start."""
    fields = {"id": INVOCATION_ID, "debug_id": DEBUG_ID, "random_seed": 42, **fields}
    return frame(MessageType.START, messages.Start(known_entries=known_entries, **fields))


def notification(kind: MessageType, handle: int | str, result: Result) -> Entry:
    """Build a notification for a handle as the machine counts them."""
    message = messages.Notification()
    if isinstance(handle, str):
        message.signal_name = handle
    elif handle < 0:
        message.signal_id = -handle
    else:
        message.completion_id = handle
    match result:
        case None:
            message.void.SetInParent()
        case bytes():
            message.value.content = result
        case Failure():
            message.failure.CopyFrom(failure_message(result))
        case str():
            message.invocation_id = result
        case tuple():
            message.state_keys.CopyFrom(messages.StateKeys(keys=[key.encode() for key in result]))
    return kind, message.SerializeToString()


def run_done(handle: int, result: bytes | Failure = b"done") -> Entry:
    """Build the completion of a step."""
    return notification(MessageType.RUN_COMPLETION, handle, result)


def signal(handle: int | str, result: Result = None) -> Entry:
    """Build a signal."""
    return notification(MessageType.SIGNAL, handle, result)


def ack(handle: int) -> bytes:
    """Build the frame that acknowledges a proposed step."""
    return frame(MessageType.PROPOSE_RUN_COMPLETION_ACK, messages.ProposeRunCompletionAck(completion_id=handle))


def failure_message(failure: Failure) -> messages.Failure:
    """Build the message of a failure."""
    return messages.Failure(
        code=failure.code,
        message=failure.message,
        metadata=[messages.FailureMetadata(key=key, value=value) for key, value in failure.metadata],
    )


def opened(
    *entries: Entry,
    version: ProtocolVersion = V6,
    options: MachineOptions | None = None,
    eof: bool = False,
    locate: Any = None,
    **start_fields: Any,
) -> Machine:
    """Give a machine whose handler may run: Start, Input and `entries` have arrived, and the input was taken."""
    machine = Machine(version, options or MachineOptions(), locate=locate)
    machine.receive_data(start(1 + len(entries), **start_fields) + frames_of([input_entry(), *entries]))
    machine.take_input()
    if eof:
        machine.receive_eof()
    return machine


def feed(machine: Machine, *entries: Entry) -> None:
    """Let entries arrive."""
    machine.receive_data(frames_of(list(entries)))


def read(data: bytes) -> list[Written]:
    """Read the frames that a machine wrote."""
    return [
        Written(MessageType(kind), flags, CLASS_OF[kind].FromString(payload))
        for kind, flags, payload in FrameDecoder().feed(data)
    ]


def written(machine: Machine) -> list[Written]:
    """Take and read what a machine wrote."""
    return read(machine.data_to_send())


def only(machine: Machine, kind: MessageType) -> Any:
    """Take what a machine wrote, and give the one message of a type that is in it."""
    found = [item.message for item in written(machine) if item.type is kind]
    assert len(found) == 1, f"{len(found)} messages of type {kind.name}"
    return found[0]
