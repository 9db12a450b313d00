"""Durable promises: completed once, awaited by any handler of the workflow's key.

Rules

1. Only handlers of a workflow use promises (RT0017).
2. A promise is completed once; a second completion fails with 409.
3. `get` waits, `peek` answers at once: with nothing while the promise is not completed.
4. Promises live as long as the record of the workflow's run.
"""

from __future__ import annotations

from typing import Final

from durably.engine.core.failures import Violation
from durably.engine.core.results import VOID, body_of, failure_of
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.records import Failure, Invocation, Promise, PromiseWaiter
from durably.protocol import messages
from durably.protocol.messages import MessageType

__all__ = ["check", "complete", "get", "peek", "result_of"]

_ALREADY_COMPLETED: Final = Failure(409, "promise was already completed")


def check(invocation: Invocation) -> None:
    """Refuse promises outside of workflows."""
    if not invocation.kind.is_workflow:
        raise Violation("A handler uses a promise outside of a workflow.", "RT0017")


def get(turn: Turn, invocation: Invocation, command: messages.GetPromiseCommand) -> None:
    """Answer with the promise's result, now or when it is completed."""
    service, key = invocation.service, invocation.key
    completion_id = command.result_completion_id
    promise = turn.tx.promise(service, key, command.key)
    if promise is None:
        invocation.waits = True
        turn.tx.add_promise_waiter(PromiseWaiter(service, key, command.key, invocation.id, completion_id))
    else:
        _answer(turn, invocation, MessageType.GET_PROMISE_COMPLETION, completion_id, promise.result)


def peek(turn: Turn, invocation: Invocation, command: messages.PeekPromiseCommand) -> None:
    """Answer with the promise's result, or with nothing."""
    promise = turn.tx.promise(invocation.service, invocation.key, command.key)
    kind, completion_id = MessageType.PEEK_PROMISE_COMPLETION, command.result_completion_id
    _answer(turn, invocation, kind, completion_id, None if promise is None else promise.result)


def complete(
    turn: Turn, invocation: Invocation, command: messages.CompletePromiseCommand, result: bytes | Failure
) -> None:
    """Complete a promise, and tell all that await it."""
    service, key, name = invocation.service, invocation.key, command.key
    kind, completion_id = MessageType.COMPLETE_PROMISE_COMPLETION, command.result_completion_id
    if turn.tx.promise(service, key, name) is not None:
        _answer(turn, invocation, kind, completion_id, _ALREADY_COMPLETED)
        return
    turn.tx.put_promise(Promise(service, key, name, result, turn.now_ms))
    _answer(turn, invocation, kind, completion_id, None)
    waiters = turn.tx.promise_waiters(service, key, name)
    turn.tx.delete_promise_waiters(service, key, name)
    for waiter in waiters:
        waiting = turn.invocation(waiter.invocation_id)
        if waiting is not None:
            _answer(turn, waiting, MessageType.GET_PROMISE_COMPLETION, waiter.completion_id, result)


def result_of(command: messages.CompletePromiseCommand) -> bytes | Failure:
    """Give what a command completes a promise with."""
    match command.WhichOneof("completion"):
        case "completion_value":
            return command.completion_value.content
        case "completion_failure":
            return failure_of(command.completion_failure)
        case _:
            raise Violation("A promise is completed with neither a value nor a failure.")


def _answer(
    turn: Turn, invocation: Invocation, kind: MessageType, completion_id: int, result: bytes | Failure | None
) -> None:
    failed = isinstance(result, Failure)
    complete_command(turn, invocation, kind, completion_id, VOID if result is None else body_of(result), failed=failed)
