"""What time brings: timers, retention, and the start-up that makes up for lost time.

Rules

1. No timer is handled before it is due. What is due is handled in batches, earliest first, so that
   one event never holds the writer for long; an action asks for the next batch.
2. Retention deletes completed invocations, or their journals only, in small batches.
3. A start-up begins a new attempt for whatever ran or backed off: its old attempt died with the
   old process, and a new process may run new code. Everything else waits for its events.
"""

from __future__ import annotations

from typing import Final

from durably.engine.actions import ArmSweep, ArmTimer, ContinueRecovery
from durably.engine.core import keys
from durably.engine.core.completion import forget, forget_journal
from durably.engine.core.failures import pause
from durably.engine.core.results import VOID
from durably.engine.core.turn import Turn
from durably.engine.core.waking import complete_command
from durably.engine.events import Recover, Sweep, TimerDue
from durably.engine.records import Status, Timer, TimerKind
from durably.protocol.messages import MessageType

__all__ = ["RECOVERY_BATCH", "SWEEP_BATCH", "SWEEP_INTERVAL_MS", "TIMER_BATCH", "due", "recover", "sweep"]

TIMER_BATCH: Final = 200
RECOVERY_BATCH: Final = 200
SWEEP_BATCH: Final = 50

SWEEP_INTERVAL_MS: Final = 60_000
"""Pause between sweeps when nothing is due."""


def due(turn: Turn, event: TimerDue) -> None:
    """Handle a batch of due timers."""
    now_ms = min(event.now_ms, turn.now_ms)
    for timer in turn.tx.due_timers(now_ms, TIMER_BATCH):
        turn.tx.delete_timer(timer.invocation_id, timer.kind, timer.completion_id)
        _fire(turn, timer)
    following = turn.tx.next_timer()
    if following is not None:
        turn.actions.append(ArmTimer(following))


def sweep(turn: Turn, event: Sweep) -> None:
    """Delete a batch of what is not kept any longer."""
    del event
    tx, now_ms = turn.tx, turn.now_ms
    expired = tx.expired(now_ms, SWEEP_BATCH)
    for invocation_id in expired:
        invocation = turn.invocation(invocation_id)
        if invocation is not None:
            forget(turn, invocation)
    journals = tx.journals_expired(now_ms, SWEEP_BATCH)
    for invocation_id in journals:
        invocation = turn.invocation(invocation_id)
        if invocation is not None:
            forget_journal(turn, invocation)
    more = len(expired) == SWEEP_BATCH or len(journals) == SWEEP_BATCH
    turn.actions.append(ArmSweep(now_ms if more else now_ms + SWEEP_INTERVAL_MS))


def recover(turn: Turn, event: Recover) -> None:
    """Begin anew what was going on when the last process ended."""
    ids = turn.tx.running(event.after, RECOVERY_BATCH)
    for invocation_id in ids:
        invocation = turn.invocation(invocation_id)
        if invocation is None:
            continue
        if invocation.pause_requested:
            pause(turn, invocation)
            continue
        if invocation.status is Status.BACKING_OFF:
            turn.tx.delete_timer(invocation_id, TimerKind.RETRY)
        turn.activate(invocation)
    if len(ids) == RECOVERY_BATCH:
        turn.actions.append(ContinueRecovery(ids[-1]))
        return
    following = turn.tx.next_timer()
    if following is not None:
        turn.actions.append(ArmTimer(following))
    turn.actions.append(ArmSweep(turn.now_ms))


def _fire(turn: Turn, timer: Timer) -> None:
    invocation = turn.invocation(timer.invocation_id)
    if invocation is None:
        return
    match timer.kind:
        case TimerKind.SLEEP:
            kind = MessageType.SLEEP_COMPLETION
            complete_command(turn, invocation, kind, timer.completion_id, VOID, failed=False)
        case TimerKind.START:
            if invocation.status is Status.SCHEDULED:
                keys.enter(turn, invocation)
        case TimerKind.RETRY:
            if invocation.status is Status.BACKING_OFF:
                turn.activate(invocation)
