"""The end of an invocation: its result goes to all who wait, and what it held is freed.

Rules

1. An invocation completes once. Nothing changes it afterwards, except that retention deletes it.
2. Its result goes to the invocations that called it or attached to it, and to open requests.
3. Its timers, its waiting for others and its key are given back in the same transaction.
4. A retention of 0 deletes the record, or the journal, at once. With the record of a workflow's run
   go the state and the promises of its key.
"""

from __future__ import annotations

from durably.engine.actions import Failed, Settled, Success
from durably.engine.core import keys
from durably.engine.core.results import body_of
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.records import Failure, Invocation, Status, TargetKind

__all__ = ["complete", "forget", "forget_journal", "outcome_of"]


def complete(turn: Turn, invocation: Invocation, result: bytes | Failure) -> None:
    """Complete an invocation. Its attempt, if one is open, is over or is cut by the caller."""
    if invocation.status is Status.COMPLETED:
        return
    keys.leave(turn, invocation)
    if invocation.waits or invocation.status in (Status.SCHEDULED, Status.BACKING_OFF):
        turn.tx.delete_timers(invocation.id)
    if invocation.waits:
        turn.tx.delete_waits_of(invocation.id)
        turn.tx.delete_promise_waits_of(invocation.id)
    turn.move(invocation, Status.COMPLETED)
    invocation.completed_at = turn.now_ms
    invocation.suspended_on = invocation.awaiting_on = invocation.next_retry_at = None
    invocation.pause_requested = False
    _tell(turn, invocation, result)
    if invocation.completion_retention_ms == 0:
        forget(turn, invocation)
        return
    turn.tx.put_result(invocation.id, result)
    invocation.expires_at = turn.now_ms + invocation.completion_retention_ms
    if invocation.journal_retention_ms == 0:
        forget_journal(turn, invocation)
    elif invocation.journal_retention_ms < invocation.completion_retention_ms:
        invocation.journal_expires_at = turn.now_ms + invocation.journal_retention_ms


def outcome_of(invocation_id: str, result: bytes | Failure, expires_at: int | None = None) -> Success | Failed:
    """Give a result in the form in which requests get it."""
    if isinstance(result, Failure):
        return Failed(result.code, result.message, result.metadata, invocation_id=invocation_id, expires_at=expires_at)
    return Success(invocation_id, result, expires_at)


def forget(turn: Turn, invocation: Invocation) -> None:
    """Delete all that is stored of a completed invocation."""
    if invocation.kind is TargetKind.WORKFLOW_RUN:
        turn.tx.clear_state(invocation.service, invocation.key)
        turn.tx.delete_promises(invocation.service, invocation.key)
    turn.delete(invocation)


def forget_journal(turn: Turn, invocation: Invocation) -> None:
    """Delete the journal of a completed invocation."""
    turn.flush()
    turn.tx.delete_journal(invocation.id)
    invocation.journal_length = invocation.command_count = 0
    invocation.journal_expires_at = None
    turn.change(invocation)


def _tell(turn: Turn, invocation: Invocation, result: bytes | Failure) -> None:
    turn.actions.append(Settled(invocation.id, outcome_of(invocation.id, result)))
    waiters = turn.tx.waiters(invocation.id)
    if not waiters:
        return
    turn.tx.delete_waiters(invocation.id)
    body = body_of(result)
    failed = isinstance(result, Failure)
    for waiter in waiters:
        waiting = turn.invocation(waiter.waiter_id)
        if waiting is not None:
            complete_command(turn, waiting, waiter.notification_type, waiter.completion_id, body, failed=failed)
