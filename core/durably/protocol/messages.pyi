"""Exact types of `durably.protocol.messages`; a test compares them with the schema."""

import enum
from collections.abc import Iterable
from typing import Final, TypeVar

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message

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

class MessageType(enum.IntEnum):
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

CLASS_OF: Final[dict[int, type[Message]]]

def is_command(message_type: int) -> bool: ...
def is_notification(message_type: int) -> bool: ...
def parse(message_class: type[MessageT], payload: bytes) -> MessageT: ...

class Start(Message):
    id: bytes
    debug_id: str
    known_entries: int
    @property
    def state_map(self) -> RepeatedCompositeFieldContainer[StateEntry]: ...
    partial_state: bool
    key: str
    retry_count_since_last_stored_entry: int
    duration_since_last_stored_entry: int
    random_seed: int
    scope: str
    limit_key: str
    idempotency_key: str
    def __init__(
        self,
        *,
        id: bytes | None = None,
        debug_id: str | None = None,
        known_entries: int | None = None,
        state_map: Iterable[StateEntry] | None = None,
        partial_state: bool | None = None,
        key: str | None = None,
        retry_count_since_last_stored_entry: int | None = None,
        duration_since_last_stored_entry: int | None = None,
        random_seed: int | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
    ) -> None: ...

class StateEntry(Message):
    key: bytes
    value: bytes
    def __init__(self, *, key: bytes | None = None, value: bytes | None = None) -> None: ...

class Suspension(Message):
    @property
    def waiting_completions(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def waiting_signals(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def waiting_named_signals(self) -> RepeatedScalarFieldContainer[str]: ...
    @property
    def awaiting_on(self) -> Future: ...
    def __init__(
        self,
        *,
        waiting_completions: Iterable[int] | None = None,
        waiting_signals: Iterable[int] | None = None,
        waiting_named_signals: Iterable[str] | None = None,
        awaiting_on: Future | None = None,
    ) -> None: ...

class Error(Message):
    code: int
    message: str
    stacktrace: str
    related_command_index: int
    related_command_name: str
    related_command_type: int
    next_retry_delay: int
    behavior: int
    def __init__(
        self,
        *,
        code: int | None = None,
        message: str | None = None,
        stacktrace: str | None = None,
        related_command_index: int | None = None,
        related_command_name: str | None = None,
        related_command_type: int | None = None,
        next_retry_delay: int | None = None,
        behavior: int | None = None,
    ) -> None: ...

class End(Message):
    def __init__(self) -> None: ...

class CommandAck(Message):
    command_index: int
    def __init__(self, *, command_index: int | None = None) -> None: ...

class ProposeRunCompletion(Message):
    result_completion_id: int
    value: bytes
    @property
    def failure(self) -> Failure: ...
    def __init__(
        self,
        *,
        result_completion_id: int | None = None,
        value: bytes | None = None,
        failure: Failure | None = None,
    ) -> None: ...

class AwaitingOn(Message):
    @property
    def awaiting_on(self) -> Future: ...
    executing_side_effects: bool
    def __init__(self, *, awaiting_on: Future | None = None, executing_side_effects: bool | None = None) -> None: ...

class ProposeRunCompletionAck(Message):
    completion_id: int
    def __init__(self, *, completion_id: int | None = None) -> None: ...

class InputCommand(Message):
    @property
    def headers(self) -> RepeatedCompositeFieldContainer[Header]: ...
    name: str
    @property
    def value(self) -> Value: ...
    def __init__(
        self,
        *,
        headers: Iterable[Header] | None = None,
        name: str | None = None,
        value: Value | None = None,
    ) -> None: ...

class OutputCommand(Message):
    name: str
    @property
    def value(self) -> Value: ...
    @property
    def failure(self) -> Failure: ...
    def __init__(
        self,
        *,
        name: str | None = None,
        value: Value | None = None,
        failure: Failure | None = None,
    ) -> None: ...

class GetLazyStateCommand(Message):
    key: bytes
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        key: bytes | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class SetStateCommand(Message):
    key: bytes
    @property
    def value(self) -> Value: ...
    name: str
    def __init__(self, *, key: bytes | None = None, value: Value | None = None, name: str | None = None) -> None: ...

class ClearStateCommand(Message):
    key: bytes
    name: str
    def __init__(self, *, key: bytes | None = None, name: str | None = None) -> None: ...

class ClearAllStateCommand(Message):
    name: str
    def __init__(self, *, name: str | None = None) -> None: ...

class GetLazyStateKeysCommand(Message):
    result_completion_id: int
    name: str
    def __init__(self, *, result_completion_id: int | None = None, name: str | None = None) -> None: ...

class GetEagerStateCommand(Message):
    key: bytes
    name: str
    @property
    def void(self) -> Void: ...
    @property
    def value(self) -> Value: ...
    def __init__(
        self,
        *,
        key: bytes | None = None,
        name: str | None = None,
        void: Void | None = None,
        value: Value | None = None,
    ) -> None: ...

class GetEagerStateKeysCommand(Message):
    name: str
    @property
    def value(self) -> StateKeys: ...
    def __init__(self, *, name: str | None = None, value: StateKeys | None = None) -> None: ...

class GetPromiseCommand(Message):
    key: str
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        key: str | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class PeekPromiseCommand(Message):
    key: str
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        key: str | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class CompletePromiseCommand(Message):
    key: str
    @property
    def completion_value(self) -> Value: ...
    @property
    def completion_failure(self) -> Failure: ...
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        key: str | None = None,
        completion_value: Value | None = None,
        completion_failure: Failure | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class SleepCommand(Message):
    wake_up_time: int
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        wake_up_time: int | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class CallCommand(Message):
    service_name: str
    handler_name: str
    parameter: bytes
    @property
    def headers(self) -> RepeatedCompositeFieldContainer[Header]: ...
    key: str
    idempotency_key: str
    scope: str
    limit_key: str
    invocation_id_notification_idx: int
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        service_name: str | None = None,
        handler_name: str | None = None,
        parameter: bytes | None = None,
        headers: Iterable[Header] | None = None,
        key: str | None = None,
        idempotency_key: str | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        invocation_id_notification_idx: int | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class OneWayCallCommand(Message):
    service_name: str
    handler_name: str
    parameter: bytes
    invoke_time: int
    @property
    def headers(self) -> RepeatedCompositeFieldContainer[Header]: ...
    key: str
    idempotency_key: str
    scope: str
    limit_key: str
    invocation_id_notification_idx: int
    name: str
    def __init__(
        self,
        *,
        service_name: str | None = None,
        handler_name: str | None = None,
        parameter: bytes | None = None,
        invoke_time: int | None = None,
        headers: Iterable[Header] | None = None,
        key: str | None = None,
        idempotency_key: str | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        invocation_id_notification_idx: int | None = None,
        name: str | None = None,
    ) -> None: ...

class SendSignalCommand(Message):
    target_invocation_id: str
    idx: int
    name: str
    @property
    def void(self) -> Void: ...
    @property
    def value(self) -> Value: ...
    @property
    def failure(self) -> Failure: ...
    entry_name: str
    def __init__(
        self,
        *,
        target_invocation_id: str | None = None,
        idx: int | None = None,
        name: str | None = None,
        void: Void | None = None,
        value: Value | None = None,
        failure: Failure | None = None,
        entry_name: str | None = None,
    ) -> None: ...

class RunCommand(Message):
    result_completion_id: int
    name: str
    def __init__(self, *, result_completion_id: int | None = None, name: str | None = None) -> None: ...

class AttachInvocationCommand(Message):
    invocation_id: str
    @property
    def idempotent_request_target(self) -> IdempotentRequestTarget: ...
    @property
    def workflow_target(self) -> WorkflowTarget: ...
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        invocation_id: str | None = None,
        idempotent_request_target: IdempotentRequestTarget | None = None,
        workflow_target: WorkflowTarget | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class GetInvocationOutputCommand(Message):
    invocation_id: str
    @property
    def idempotent_request_target(self) -> IdempotentRequestTarget: ...
    @property
    def workflow_target(self) -> WorkflowTarget: ...
    result_completion_id: int
    name: str
    def __init__(
        self,
        *,
        invocation_id: str | None = None,
        idempotent_request_target: IdempotentRequestTarget | None = None,
        workflow_target: WorkflowTarget | None = None,
        result_completion_id: int | None = None,
        name: str | None = None,
    ) -> None: ...

class CompleteAwakeableCommand(Message):
    awakeable_id: str
    @property
    def value(self) -> Value: ...
    @property
    def failure(self) -> Failure: ...
    name: str
    def __init__(
        self,
        *,
        awakeable_id: str | None = None,
        value: Value | None = None,
        failure: Failure | None = None,
        name: str | None = None,
    ) -> None: ...

class Notification(Message):
    completion_id: int
    signal_id: int
    signal_name: str
    @property
    def void(self) -> Void: ...
    @property
    def value(self) -> Value: ...
    @property
    def failure(self) -> Failure: ...
    invocation_id: str
    @property
    def state_keys(self) -> StateKeys: ...
    def __init__(
        self,
        *,
        completion_id: int | None = None,
        signal_id: int | None = None,
        signal_name: str | None = None,
        void: Void | None = None,
        value: Value | None = None,
        failure: Failure | None = None,
        invocation_id: str | None = None,
        state_keys: StateKeys | None = None,
    ) -> None: ...

class Value(Message):
    content: bytes
    def __init__(self, *, content: bytes | None = None) -> None: ...

class Failure(Message):
    code: int
    message: str
    @property
    def metadata(self) -> RepeatedCompositeFieldContainer[FailureMetadata]: ...
    def __init__(
        self,
        *,
        code: int | None = None,
        message: str | None = None,
        metadata: Iterable[FailureMetadata] | None = None,
    ) -> None: ...

class FailureMetadata(Message):
    key: str
    value: str
    def __init__(self, *, key: str | None = None, value: str | None = None) -> None: ...

class Header(Message):
    key: str
    value: str
    def __init__(self, *, key: str | None = None, value: str | None = None) -> None: ...

class StateKeys(Message):
    @property
    def keys(self) -> RepeatedScalarFieldContainer[bytes]: ...
    def __init__(self, *, keys: Iterable[bytes] | None = None) -> None: ...

class Void(Message):
    def __init__(self) -> None: ...

class WorkflowTarget(Message):
    workflow_name: str
    workflow_key: str
    scope: str
    def __init__(
        self,
        *,
        workflow_name: str | None = None,
        workflow_key: str | None = None,
        scope: str | None = None,
    ) -> None: ...

class IdempotentRequestTarget(Message):
    service_name: str
    service_key: str
    handler_name: str
    idempotency_key: str
    scope: str
    def __init__(
        self,
        *,
        service_name: str | None = None,
        service_key: str | None = None,
        handler_name: str | None = None,
        idempotency_key: str | None = None,
        scope: str | None = None,
    ) -> None: ...

class Future(Message):
    @property
    def waiting_completions(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def waiting_signals(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def waiting_named_signals(self) -> RepeatedScalarFieldContainer[str]: ...
    @property
    def nested_futures(self) -> RepeatedCompositeFieldContainer[Future]: ...
    combinator_type: int
    def __init__(
        self,
        *,
        waiting_completions: Iterable[int] | None = None,
        waiting_signals: Iterable[int] | None = None,
        waiting_named_signals: Iterable[str] | None = None,
        nested_futures: Iterable[Future] | None = None,
        combinator_type: int | None = None,
    ) -> None: ...
