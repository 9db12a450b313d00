"""Message types and the classes that parse and serialize their payloads.

Owns the map from type numbers to classes. The classes are made when this module is imported, from
the text in `durably.protocol.schema`, so they fit whichever release of protobuf is installed;
`messages.pyi` gives them exact types. Ranges of type numbers:

    0x0000-0x03FF  control
    0x0400-0x7FFF  commands: what the handler asked for, in order
    0x8000-0xFBFF  notifications: what came of it
    0xFC00-0xFFFF  custom entries, which no runtime implements

Source: service-invocation-protocol.md, "Message types"; `protocol.proto`.
"""

from __future__ import annotations

import enum
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from durably.errors import RemoteProtocolError
from durably.protocol.descriptors import build_message_classes

__all__ = [
    "CLASS_OF",
    "REQUESTED_ACK",
    "AttachInvocationCommand",
    "AwaitingOn",
    "CallCommand",
    "ClearAllStateCommand",
    "ClearStateCommand",
    "CommandAck",
    "CompleteAwakeableCommand",
    "CompletePromiseCommand",
    "End",
    "Error",
    "Failure",
    "FailureMetadata",
    "Future",
    "GetEagerStateCommand",
    "GetEagerStateKeysCommand",
    "GetInvocationOutputCommand",
    "GetLazyStateCommand",
    "GetLazyStateKeysCommand",
    "GetPromiseCommand",
    "Header",
    "IdempotentRequestTarget",
    "InputCommand",
    "MessageType",
    "Notification",
    "OneWayCallCommand",
    "OutputCommand",
    "PeekPromiseCommand",
    "ProposeRunCompletion",
    "ProposeRunCompletionAck",
    "RunCommand",
    "SendSignalCommand",
    "SetStateCommand",
    "SleepCommand",
    "Start",
    "StateEntry",
    "StateKeys",
    "Suspension",
    "Value",
    "Void",
    "WorkflowTarget",
    "is_command",
    "is_notification",
    "parse",
]

MessageT = TypeVar("MessageT", bound=Message)

REQUESTED_ACK: Final = 0x8000
"""The only flag of a frame: the sender wants an acknowledgement that the message is stored."""


class MessageType(enum.IntEnum):
    """The type number in a frame's header. 0x040F is not assigned."""

    START = 0x0000
    SUSPENSION = 0x0001
    ERROR = 0x0002
    END = 0x0003
    COMMAND_ACK = 0x0004
    PROPOSE_RUN_COMPLETION = 0x0005
    AWAITING_ON = 0x0006
    PROPOSE_RUN_COMPLETION_ACK = 0x0007
    INPUT = 0x0400
    OUTPUT = 0x0401
    GET_LAZY_STATE = 0x0402
    SET_STATE = 0x0403
    CLEAR_STATE = 0x0404
    CLEAR_ALL_STATE = 0x0405
    GET_LAZY_STATE_KEYS = 0x0406
    GET_EAGER_STATE = 0x0407
    GET_EAGER_STATE_KEYS = 0x0408
    GET_PROMISE = 0x0409
    PEEK_PROMISE = 0x040A
    COMPLETE_PROMISE = 0x040B
    SLEEP = 0x040C
    CALL = 0x040D
    ONE_WAY_CALL = 0x040E
    SEND_SIGNAL = 0x0410
    RUN = 0x0411
    ATTACH_INVOCATION = 0x0412
    GET_INVOCATION_OUTPUT = 0x0413
    COMPLETE_AWAKEABLE = 0x0414
    GET_LAZY_STATE_COMPLETION = 0x8002
    GET_LAZY_STATE_KEYS_COMPLETION = 0x8006
    GET_PROMISE_COMPLETION = 0x8009
    PEEK_PROMISE_COMPLETION = 0x800A
    COMPLETE_PROMISE_COMPLETION = 0x800B
    SLEEP_COMPLETION = 0x800C
    CALL_COMPLETION = 0x800D
    CALL_INVOCATION_ID_COMPLETION = 0x800E
    RUN_COMPLETION = 0x8011
    ATTACH_INVOCATION_COMPLETION = 0x8012
    GET_INVOCATION_OUTPUT_COMPLETION = 0x8013
    SIGNAL = 0xFBFF


_CLASSES: Final = build_message_classes()

Start = _CLASSES["Start"]
StateEntry = _CLASSES["StateEntry"]
Suspension = _CLASSES["Suspension"]
Error = _CLASSES["Error"]
End = _CLASSES["End"]
CommandAck = _CLASSES["CommandAck"]
ProposeRunCompletion = _CLASSES["ProposeRunCompletion"]
AwaitingOn = _CLASSES["AwaitingOn"]
ProposeRunCompletionAck = _CLASSES["ProposeRunCompletionAck"]
InputCommand = _CLASSES["InputCommand"]
OutputCommand = _CLASSES["OutputCommand"]
GetLazyStateCommand = _CLASSES["GetLazyStateCommand"]
SetStateCommand = _CLASSES["SetStateCommand"]
ClearStateCommand = _CLASSES["ClearStateCommand"]
ClearAllStateCommand = _CLASSES["ClearAllStateCommand"]
GetLazyStateKeysCommand = _CLASSES["GetLazyStateKeysCommand"]
GetEagerStateCommand = _CLASSES["GetEagerStateCommand"]
GetEagerStateKeysCommand = _CLASSES["GetEagerStateKeysCommand"]
GetPromiseCommand = _CLASSES["GetPromiseCommand"]
PeekPromiseCommand = _CLASSES["PeekPromiseCommand"]
CompletePromiseCommand = _CLASSES["CompletePromiseCommand"]
SleepCommand = _CLASSES["SleepCommand"]
CallCommand = _CLASSES["CallCommand"]
OneWayCallCommand = _CLASSES["OneWayCallCommand"]
SendSignalCommand = _CLASSES["SendSignalCommand"]
RunCommand = _CLASSES["RunCommand"]
AttachInvocationCommand = _CLASSES["AttachInvocationCommand"]
GetInvocationOutputCommand = _CLASSES["GetInvocationOutputCommand"]
CompleteAwakeableCommand = _CLASSES["CompleteAwakeableCommand"]
Notification = _CLASSES["Notification"]
Value = _CLASSES["Value"]
Failure = _CLASSES["Failure"]
FailureMetadata = _CLASSES["FailureMetadata"]
Header = _CLASSES["Header"]
StateKeys = _CLASSES["StateKeys"]
Void = _CLASSES["Void"]
WorkflowTarget = _CLASSES["WorkflowTarget"]
IdempotentRequestTarget = _CLASSES["IdempotentRequestTarget"]
Future = _CLASSES["Future"]

CLASS_OF: Final[dict[int, type[Message]]] = {
    MessageType.START: Start,
    MessageType.SUSPENSION: Suspension,
    MessageType.ERROR: Error,
    MessageType.END: End,
    MessageType.COMMAND_ACK: CommandAck,
    MessageType.PROPOSE_RUN_COMPLETION: ProposeRunCompletion,
    MessageType.AWAITING_ON: AwaitingOn,
    MessageType.PROPOSE_RUN_COMPLETION_ACK: ProposeRunCompletionAck,
    MessageType.INPUT: InputCommand,
    MessageType.OUTPUT: OutputCommand,
    MessageType.GET_LAZY_STATE: GetLazyStateCommand,
    MessageType.SET_STATE: SetStateCommand,
    MessageType.CLEAR_STATE: ClearStateCommand,
    MessageType.CLEAR_ALL_STATE: ClearAllStateCommand,
    MessageType.GET_LAZY_STATE_KEYS: GetLazyStateKeysCommand,
    MessageType.GET_EAGER_STATE: GetEagerStateCommand,
    MessageType.GET_EAGER_STATE_KEYS: GetEagerStateKeysCommand,
    MessageType.GET_PROMISE: GetPromiseCommand,
    MessageType.PEEK_PROMISE: PeekPromiseCommand,
    MessageType.COMPLETE_PROMISE: CompletePromiseCommand,
    MessageType.SLEEP: SleepCommand,
    MessageType.CALL: CallCommand,
    MessageType.ONE_WAY_CALL: OneWayCallCommand,
    MessageType.SEND_SIGNAL: SendSignalCommand,
    MessageType.RUN: RunCommand,
    MessageType.ATTACH_INVOCATION: AttachInvocationCommand,
    MessageType.GET_INVOCATION_OUTPUT: GetInvocationOutputCommand,
    MessageType.COMPLETE_AWAKEABLE: CompleteAwakeableCommand,
    MessageType.GET_LAZY_STATE_COMPLETION: Notification,
    MessageType.GET_LAZY_STATE_KEYS_COMPLETION: Notification,
    MessageType.GET_PROMISE_COMPLETION: Notification,
    MessageType.PEEK_PROMISE_COMPLETION: Notification,
    MessageType.COMPLETE_PROMISE_COMPLETION: Notification,
    MessageType.SLEEP_COMPLETION: Notification,
    MessageType.CALL_COMPLETION: Notification,
    MessageType.CALL_INVOCATION_ID_COMPLETION: Notification,
    MessageType.RUN_COMPLETION: Notification,
    MessageType.ATTACH_INVOCATION_COMPLETION: Notification,
    MessageType.GET_INVOCATION_OUTPUT_COMPLETION: Notification,
    MessageType.SIGNAL: Notification,
}


def is_command(message_type: int) -> bool:
    """Tell whether a type number is in the range of commands, known or not."""
    return 0x0400 <= message_type <= 0x7FFF


def is_notification(message_type: int) -> bool:
    """Tell whether a type number is in the range of notifications, known or not."""
    return 0x8000 <= message_type <= 0xFBFF


def parse(message_class: type[MessageT], payload: bytes) -> MessageT:
    """Parse a payload that the peer sent.

    Raises:
        RemoteProtocolError: It is not such a message (code 500).
    """
    try:
        return message_class.FromString(payload)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Which of them depends on the implementation of protobuf that is installed.
        raise RemoteProtocolError(
            f"A payload of {len(payload)} bytes is not a valid {message_class.DESCRIPTOR.name} message.", code=500
        ) from error
