"""Attempts that fail: when the next one begins, and what happens when there is none.

Rules

1. A failed attempt is followed by another after a delay that grows from `initial_interval_ms` by
   `factor` up to `max_interval_ms`, and up to 30 % (at least 3 ms) longer at random.
2. A delay that the service asked for (`next_retry_delay`, `Retry-After`) replaces it, once, and uses up
   no attempt: such retries have no end.
3. Attempts count from the last activation: a suspension or a resumption sets them back to none,
   progress in the journal does not.
4. When they are used up the invocation is paused, or completes with the last failure.
5. Since V7 the service may ask for either at once. A requested pause takes effect here too.
6. `Start.retry_count_since_last_stored_entry` counts failed attempts since the last new command.

Source: service protocol, ErrorMessage; section "Retries" of the runtime's documentation.
"""

from __future__ import annotations

from typing import Final

from durably.engine.core import settings
from durably.engine.core.completion import complete
from durably.engine.core.turn import Turn
from durably.engine.records import (
    AttemptFailure,
    Failure,
    Invocation,
    OnMaxAttempts,
    RetryPolicy,
    Status,
    Timer,
    TimerKind,
)
from durably.protocol.versions import ProtocolVersion

__all__ = [
    "BEHAVIOR_FAIL",
    "BEHAVIOR_PAUSE",
    "PROTOCOL_VIOLATION",
    "Violation",
    "behavior_of",
    "delay_ms",
    "fail",
    "pause",
]

BEHAVIOR_PAUSE: Final = 1
BEHAVIOR_FAIL: Final = 2

PROTOCOL_VIOLATION: Final = "RT0012"

_JITTER: Final = 0.3
_MIN_JITTER_MS: Final = 3
_LONGEST_DELAY_MS: Final = 10 * 365 * 24 * 60 * 60 * 1000
# Ten years; so that a delay from outside always gives a time that can be stored.


class Violation(Exception):
    """A service broke the protocol, or asked for what cannot be; its attempt fails.

    Attributes:
        failure: As the attempt's failure.
    """

    def __init__(self, message: str, doc_code: str = PROTOCOL_VIOLATION, *, behavior: int = 0) -> None:
        """Say what was wrong."""
        super().__init__(message)
        code = 571 if doc_code == PROTOCOL_VIOLATION else 500
        self.failure: AttemptFailure = AttemptFailure(code, message, doc_code, behavior=behavior)


def fail(turn: Turn, invocation: Invocation, failure: AttemptFailure) -> None:
    """End the current attempt of a running invocation as failed. The caller cuts it if it is still open."""
    turn.change(invocation)
    invocation.last_failure = failure
    if failure.counts_as_progress_retry:
        invocation.retries_since_entry += 1
    if failure.behavior == BEHAVIOR_FAIL:
        complete(turn, invocation, Failure(failure.code, failure.message))
        return
    if failure.behavior == BEHAVIOR_PAUSE or invocation.pause_requested:
        pause(turn, invocation)
        return
    own, shared = settings.handler_at(turn.tx, invocation)
    policy = settings.retry_policy_of(own, shared, turn.options)
    if failure.retry_after_ms is not None:
        delay = min(max(failure.retry_after_ms, 0), _LONGEST_DELAY_MS)
    else:
        invocation.retry_count += 1
        if policy.max_attempts is not None and invocation.retry_count >= policy.max_attempts:
            if policy.on_max_attempts is OnMaxAttempts.KILL:
                complete(turn, invocation, Failure(failure.code, failure.message))
            else:
                pause(turn, invocation)
            return
        delay = delay_ms(policy, invocation.retry_count, turn.random.random())
    due = turn.now_ms + delay
    turn.move(invocation, Status.BACKING_OFF)
    invocation.next_retry_at = due
    turn.arm(Timer(due, TimerKind.RETRY, invocation.id))


def pause(turn: Turn, invocation: Invocation) -> None:
    """Pause an invocation that has no open attempt. It keeps its key."""
    turn.tx.delete_timer(invocation.id, TimerKind.RETRY)
    invocation.pause_requested = False
    invocation.suspended_on = invocation.awaiting_on = invocation.next_retry_at = None
    turn.move(invocation, Status.PAUSED)


def delay_ms(policy: RetryPolicy, failed_attempts: int, chance: float) -> int:
    """Give the pause before the next attempt.

    Args:
        policy: The policy.
        failed_attempts: How many there were, at least 1.
        chance: From 0 up to 1, for the jitter.
    """
    try:
        delay = min(policy.initial_interval_ms * policy.factor ** (failed_attempts - 1), policy.max_interval_ms)
    except OverflowError:
        delay = policy.max_interval_ms
    return min(int(delay + chance * max(delay * _JITTER, _MIN_JITTER_MS)), _LONGEST_DELAY_MS)


def behavior_of(value: int, version: int | None) -> int:
    """Give the behaviour that an Error message asks for; before V7 it has none."""
    return value if version is not None and version >= ProtocolVersion.V7 else 0
