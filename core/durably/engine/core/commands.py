"""Commands of a service: checked, appended, done.

Rules

1. A command is checked before it is appended; what cannot be fails the attempt and leaves no trace.
2. It is done in the transaction that appends it. What it can answer at once follows it directly.
3. The first entry that a service writes pins the invocation to the deployment and version of the attempt.
4. A new command sets `retries_since_entry` back.

    command                              checked                     done
    -----------------------------------  --------------------------  ------------------------------------
    Input                                never sent by a service     –
    Output                               value or failure            result stored
    GetEagerState, GetEagerStateKeys     has a key                   –
    GetLazyState, GetLazyStateKeys       has a key                   answered
    SetState, ClearState, ClearAllState  may write                   written
    GetPromise, PeekPromise              belongs to a workflow       answered, or waits
    CompletePromise                      belongs to a workflow       completed, answered
    Sleep                                –                           timer
    Call, OneWayCall                     callee, see `calls`         invocation, its id answered
    SendSignal, CompleteAwakeable        ids parse                   signal
    Run                                  –                           – (its proposal brings the result)
    AttachInvocation                     ids parse                   answered, or waits
    GetInvocationOutput                  ids parse                   answered
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from google.protobuf.message import Message

from durably.engine.core import calls, keyed_state, promises, signals
from durably.engine.core.failures import BEHAVIOR_PAUSE, PROTOCOL_VIOLATION, Violation
from durably.engine.core.results import VOID, failure_of
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.records import Failure, Invocation, Timer, TimerKind
from durably.errors import RemoteProtocolError
from durably.protocol import messages
from durably.protocol.messages import REQUESTED_ACK, MessageType

__all__ = ["COMMANDS", "handle_command", "parse", "pin"]

MessageT = TypeVar("MessageT", bound=Message)


def handle_command(turn: Turn, invocation: Invocation, type: int, flags: int, payload: bytes) -> None:
    """Check, append and do a command of the current attempt.

    Raises:
        Violation: The attempt fails with it. Nothing was appended.
    """
    handler = COMMANDS.get(type)
    if handler is None:
        raise Violation(f"The service sent a command of type {type:#06x}, which there is not.")
    if invocation.journal_length >= turn.options.limits.journal_entries:
        raise Violation(
            f"The journal has {invocation.journal_length} entries, which is the limit; restart the work in a new"
            " invocation from time to time.",
            "",
            behavior=BEHAVIOR_PAUSE,
        )
    index = invocation.journal_length
    handler(turn, invocation, payload)
    if flags & REQUESTED_ACK:
        ack = messages.CommandAck(command_index=invocation.command_count - 1).SerializeToString()
        turn.deliver(invocation, (MessageType.COMMAND_ACK, 0, ack), index)


def pin(invocation: Invocation) -> None:
    """Keep an invocation on the deployment and version of its attempt."""
    if invocation.deployment_id is None:
        invocation.deployment_id = invocation.attempt_deployment_id
    if invocation.protocol_version is None:
        invocation.protocol_version = invocation.attempt_version


def parse(message_class: type[MessageT], payload: bytes) -> MessageT:
    """Read a message of a service."""
    try:
        return messages.parse(message_class, payload)
    except RemoteProtocolError as error:
        raise Violation(error.message, PROTOCOL_VIOLATION) from error


def _append(turn: Turn, invocation: Invocation, type: int, payload: bytes) -> int:
    """Append a command; give its index among commands."""
    turn.append(invocation, type, payload)
    index = invocation.command_count
    invocation.command_count = index + 1
    invocation.retries_since_entry = 0
    invocation.last_entry_at = turn.now_ms
    if invocation.protocol_version is None:
        pin(invocation)
    return index


def _output(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.OutputCommand, payload)
    result: bytes | Failure
    match command.WhichOneof("result"):
        case "value":
            result = command.value.content
        case "failure":
            result = failure_of(command.failure)
        case _:
            raise Violation("An output has neither a value nor a failure.")
    _append(turn, invocation, MessageType.OUTPUT, payload)
    turn.outputs[invocation.id] = result


def _run(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    parse(messages.RunCommand, payload)
    _append(turn, invocation, MessageType.RUN, payload)


def _get_eager_state(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_read(invocation)
    parse(messages.GetEagerStateCommand, payload)
    _append(turn, invocation, MessageType.GET_EAGER_STATE, payload)


def _get_eager_state_keys(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_read(invocation)
    parse(messages.GetEagerStateKeysCommand, payload)
    _append(turn, invocation, MessageType.GET_EAGER_STATE_KEYS, payload)


def _get_lazy_state(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_read(invocation)
    command = parse(messages.GetLazyStateCommand, payload)
    _append(turn, invocation, MessageType.GET_LAZY_STATE, payload)
    keyed_state.get(turn, invocation, command)


def _get_lazy_state_keys(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_read(invocation)
    command = parse(messages.GetLazyStateKeysCommand, payload)
    _append(turn, invocation, MessageType.GET_LAZY_STATE_KEYS, payload)
    keyed_state.get_names(turn, invocation, command)


def _set_state(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_write(invocation)
    command = parse(messages.SetStateCommand, payload)
    _append(turn, invocation, MessageType.SET_STATE, payload)
    keyed_state.put(turn, invocation, command)


def _clear_state(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_write(invocation)
    command = parse(messages.ClearStateCommand, payload)
    _append(turn, invocation, MessageType.CLEAR_STATE, payload)
    keyed_state.clear(turn, invocation, command)


def _clear_all_state(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    keyed_state.check_write(invocation)
    parse(messages.ClearAllStateCommand, payload)
    _append(turn, invocation, MessageType.CLEAR_ALL_STATE, payload)
    keyed_state.clear_all(turn, invocation)


def _get_promise(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    promises.check(invocation)
    command = parse(messages.GetPromiseCommand, payload)
    _append(turn, invocation, MessageType.GET_PROMISE, payload)
    promises.get(turn, invocation, command)


def _peek_promise(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    promises.check(invocation)
    command = parse(messages.PeekPromiseCommand, payload)
    _append(turn, invocation, MessageType.PEEK_PROMISE, payload)
    promises.peek(turn, invocation, command)


def _complete_promise(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    promises.check(invocation)
    command = parse(messages.CompletePromiseCommand, payload)
    result = promises.result_of(command)
    _append(turn, invocation, MessageType.COMPLETE_PROMISE, payload)
    promises.complete(turn, invocation, command, result)


def _sleep(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.SleepCommand, payload)
    _append(turn, invocation, MessageType.SLEEP, payload)
    due, completion_id = command.wake_up_time, command.result_completion_id
    if due <= turn.now_ms:
        complete_command(turn, invocation, MessageType.SLEEP_COMPLETION, completion_id, VOID, failed=False)
        return
    invocation.waits = True
    turn.arm(Timer(min(due, _LAST_TIME_MS), TimerKind.SLEEP, invocation.id, completion_id))


def _call(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.CallCommand, payload)
    callee = calls.check_call(turn.tx, command)
    index = _append(turn, invocation, MessageType.CALL, payload)
    calls.call(turn, invocation, command, callee, index)


def _one_way_call(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.OneWayCallCommand, payload)
    callee = calls.check_call(turn.tx, command)
    index = _append(turn, invocation, MessageType.ONE_WAY_CALL, payload)
    calls.send(turn, invocation, command, callee, index)


def _send_signal(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.SendSignalCommand, payload)
    target_id = calls.parsed_id(command.target_invocation_id)
    signal, result = signals.signal_id_of(command), signals.result_of_signal(command)
    _require_room(turn, target_id)
    _append(turn, invocation, MessageType.SEND_SIGNAL, payload)
    signals.signal(turn, target_id, signal, result)


def _complete_awakeable(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.CompleteAwakeableCommand, payload)
    try:
        target = signals.awakeable_target(command.awakeable_id)
    except ValueError as error:
        raise Violation(f"{command.awakeable_id[:60]!r} is not the id of an awakeable.", "RT0017") from error
    result = signals.result_of_awakeable(command)
    if target is not None:
        _require_room(turn, target[0])
    _append(turn, invocation, MessageType.COMPLETE_AWAKEABLE, payload)
    if target is not None:
        signals.signal(turn, target[0], target[1], result)


def _require_room(turn: Turn, invocation_id: str) -> None:
    if not signals.has_room(turn, invocation_id):
        raise Violation(f"The journal of {invocation_id} has no room for more signals.", "")


def _attach(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.AttachInvocationCommand, payload)
    target_id = calls.id_of(turn.tx, command)
    _append(turn, invocation, MessageType.ATTACH_INVOCATION, payload)
    calls.attach(turn, invocation, command, target_id)


def _get_output(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    command = parse(messages.GetInvocationOutputCommand, payload)
    target_id = calls.id_of(turn.tx, command)
    _append(turn, invocation, MessageType.GET_INVOCATION_OUTPUT, payload)
    calls.get_output(turn, invocation, command, target_id)


_LAST_TIME_MS: Final = (1 << 62) - 1
# So that a wake-up time from a service always fits a column.

COMMANDS: Final[Mapping[int, Callable[[Turn, Invocation, bytes], None]]] = {
    MessageType.OUTPUT: _output,
    MessageType.GET_LAZY_STATE: _get_lazy_state,
    MessageType.SET_STATE: _set_state,
    MessageType.CLEAR_STATE: _clear_state,
    MessageType.CLEAR_ALL_STATE: _clear_all_state,
    MessageType.GET_LAZY_STATE_KEYS: _get_lazy_state_keys,
    MessageType.GET_EAGER_STATE: _get_eager_state,
    MessageType.GET_EAGER_STATE_KEYS: _get_eager_state_keys,
    MessageType.GET_PROMISE: _get_promise,
    MessageType.PEEK_PROMISE: _peek_promise,
    MessageType.COMPLETE_PROMISE: _complete_promise,
    MessageType.SLEEP: _sleep,
    MessageType.CALL: _call,
    MessageType.ONE_WAY_CALL: _one_way_call,
    MessageType.SEND_SIGNAL: _send_signal,
    MessageType.RUN: _run,
    MessageType.ATTACH_INVOCATION: _attach,
    MessageType.GET_INVOCATION_OUTPUT: _get_output,
    MessageType.COMPLETE_AWAKEABLE: _complete_awakeable,
}
"""What is done for each type of command that a service may send."""
