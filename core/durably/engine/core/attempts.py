"""Attempts: what a service may send, and how they end.

Rules

1. What an attempt that is not the current one reports is ignored: its number is too low, or the
   invocation does not run any more.
2. What a service may send:

    message                  effect
    -----------------------  ---------------------------------------------------------------
    command                  checked, appended, done; see `commands`
    ProposeRunCompletion     appended as RunCompletion; acknowledged with V7 and the flag, else echoed
    AwaitingOn (V7)          remembered for operators
    Suspension               next attempt at once if decided, paused if that was asked for, else suspended
    Error                    the attempt failed
    End                      the invocation completes with its last output; without one the attempt failed
    anything else            the attempt failed: protocol violation (RT0012)

3. Messages after the one that ended the attempt are ignored.
4. A step that has a result gets no other: a second proposal is a violation.
"""

from __future__ import annotations

from typing import Final

from durably.engine.core.commands import handle_command, parse, pin
from durably.engine.core.completion import complete
from durably.engine.core.failures import Violation, behavior_of, fail, pause
from durably.engine.core.results import body_of, completion, failure_of
from durably.engine.core.turn import Turn
from durably.engine.core.waking import depth_of, handles_of, is_decided
from durably.engine.events import AttemptEnded, AttemptFrames, AttemptStarted
from durably.engine.records import AttemptFailure, Failure, Invocation, Status
from durably.protocol import messages
from durably.protocol.messages import REQUESTED_ACK, MessageType, is_command
from durably.protocol.versions import ProtocolVersion

__all__ = ["ended", "frames", "started"]

_DOC_CODES: Final = {570: "RT0016", 571: "RT0012"}
_OTHER_DOC_CODE: Final = "RT0007"
_TOO_DEEP: Final = "RT0025"

_FIRST_COMPLETED: Final = 1


def started(turn: Turn, event: AttemptStarted) -> None:
    """Note what answered."""
    invocation = _current(turn, event.invocation_id, event.attempt)
    if invocation is not None and invocation.attempt_server != event.server:
        invocation.attempt_server = event.server
        turn.change(invocation)


def ended(turn: Turn, event: AttemptEnded) -> None:
    """Fail an attempt that ended without saying so."""
    invocation = _current(turn, event.invocation_id, event.attempt)
    if invocation is not None:
        failure = event.failure or AttemptFailure(500, "The response ended without End, Suspension or Error.")
        fail(turn, invocation, failure)


def frames(turn: Turn, event: AttemptFrames) -> None:
    """Handle what a service sent."""
    invocation = _current(turn, event.invocation_id, event.attempt)
    if invocation is None:
        return
    if invocation.deployment_id is None or invocation.protocol_version is None or invocation.retries_since_entry:
        turn.change(invocation)  # with its first entry; a further step alone only lets the journal grow
    try:
        for type, flags, payload in event.frames:
            if is_command(type):
                if type != MessageType.RUN:
                    turn.change(invocation)
                handle_command(turn, invocation, type, flags, payload)
            elif type == MessageType.PROPOSE_RUN_COMPLETION:
                _propose(turn, invocation, flags, payload)
            elif type == MessageType.AWAITING_ON:
                _awaiting_on(turn, invocation, payload)
            else:
                turn.change(invocation)
                if _end(turn, invocation, type, payload):
                    break
    except Violation as violation:
        turn.abort(invocation)
        fail(turn, invocation, violation.failure)
        return
    if invocation.status is Status.RUNNING and invocation.id in turn.outputs:
        turn.tx.put_result(invocation.id, turn.outputs[invocation.id])


def _current(turn: Turn, invocation_id: str, attempt: int) -> Invocation | None:
    invocation = turn.invocation(invocation_id)
    if invocation is None or invocation.attempt != attempt or invocation.status is not Status.RUNNING:
        return None
    return invocation


def _propose(turn: Turn, invocation: Invocation, flags: int, payload: bytes) -> None:
    proposal = parse(messages.ProposeRunCompletion, payload)
    completion_id = proposal.result_completion_id
    result: bytes | Failure
    match proposal.WhichOneof("result"):
        case "value":
            result = proposal.value
        case "failure":
            result = failure_of(proposal.failure)
        case _:
            raise Violation("A step's result is proposed with neither a value nor a failure.")
    if turn.notified(invocation, (completion_id,)):
        raise Violation(f"A second result is proposed for completion {completion_id}.")
    pin(invocation)
    if invocation.awaiting_on is not None:
        invocation.awaiting_on = None  # the handler went on
        turn.change(invocation)
    acknowledged = flags & REQUESTED_ACK and invocation.attempt_version == ProtocolVersion.V7
    index = turn.append(
        invocation,
        MessageType.RUN_COMPLETION,
        completion(completion_id, body_of(result)),
        completion_id,
        isinstance(result, Failure),
        deliver=not acknowledged,
    )
    if acknowledged:
        ack = messages.ProposeRunCompletionAck(completion_id=completion_id).SerializeToString()
        turn.deliver(invocation, (MessageType.PROPOSE_RUN_COMPLETION_ACK, 0, ack), index)


def _awaiting_on(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    if invocation.attempt_version is None or invocation.attempt_version < ProtocolVersion.V7:
        raise Violation("AwaitingOn needs service protocol V7.")
    future = parse(messages.AwaitingOn, payload).awaiting_on
    completions = future.waiting_completions
    if len(completions) == 1 and not future.nested_futures and turn.brought(invocation, completions[0]):
        awaiting_on = None  # a step's result comes with the news that it is awaited
    else:
        awaiting_on = future.SerializeToString()
    if awaiting_on != invocation.awaiting_on:
        invocation.awaiting_on = awaiting_on
        turn.change(invocation)


def _end(turn: Turn, invocation: Invocation, type: int, payload: bytes) -> bool:
    """Handle a message that ends the attempt, or refuse it."""
    match type:
        case MessageType.SUSPENSION:
            _suspend(turn, invocation, payload)
        case MessageType.ERROR:
            _error(turn, invocation, payload)
        case MessageType.END:
            parse(messages.End, payload)
            output = turn.outputs.pop(invocation.id, None)
            if output is None:
                output = turn.tx.result(invocation.id)
            if output is None:
                fail(turn, invocation, AttemptFailure(571, "The service sent End without an output.", "RT0012"))
            else:
                complete(turn, invocation, output)
        case _:
            raise Violation(f"The service sent a message of type {type:#06x}, which only the engine may send.")
    return True


def _suspend(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    future = _future_of(invocation, parse(messages.Suspension, payload))
    if next(handles_of(future), None) is None:
        raise Violation("The service suspends without saying what it waits for.")
    if depth_of(future) > turn.options.limits.future_depth:
        raise Violation("What the service waits for is nested too deep.", _TOO_DEEP, behavior=1)
    if invocation.pause_requested:
        pause(turn, invocation)
    elif is_decided(turn, invocation, future):
        invocation.retry_count = 0
        turn.activate(invocation)
    else:
        turn.move(invocation, Status.SUSPENDED)
        invocation.suspended_on = future.SerializeToString()
        invocation.awaiting_on = None
        invocation.last_failure = None


def _future_of(invocation: Invocation, suspension: messages.Suspension) -> messages.Future:
    if invocation.attempt_version is not None and invocation.attempt_version >= ProtocolVersion.V7:
        return suspension.awaiting_on
    return messages.Future(
        waiting_completions=suspension.waiting_completions,
        waiting_signals=suspension.waiting_signals,
        waiting_named_signals=suspension.waiting_named_signals,
        combinator_type=_FIRST_COMPLETED,
    )


def _error(turn: Turn, invocation: Invocation, payload: bytes) -> None:
    error = parse(messages.Error, payload)
    failure = AttemptFailure(
        error.code,
        error.message,
        _DOC_CODES.get(error.code, _OTHER_DOC_CODE),
        error.stacktrace,
        retry_after_ms=error.next_retry_delay if error.HasField("next_retry_delay") else None,
        behavior=behavior_of(error.behavior, invocation.attempt_version),
        command_index=error.related_command_index if error.HasField("related_command_index") else None,
        command_name=error.related_command_name if error.HasField("related_command_name") else None,
        command_type=error.related_command_type if error.HasField("related_command_type") else None,
    )
    fail(turn, invocation, failure)
