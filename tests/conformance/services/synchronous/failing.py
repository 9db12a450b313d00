"""The failing services of the contract, Failing and NonDeterministic, with plain `def` handlers.

Owns nothing: how often something already failed is counted for each key in `contract.attempts`.
"""

from __future__ import annotations

from datetime import timedelta

import durably
from tests.conformance.services.contract import FailureRequest, attempts
from tests.conformance.services.synchronous.keyed import add as counter_add
from tests.conformance.services.synchronous.keyed import get_count as counter_get
from tests.conformance.services.synchronous.keyed import reset as counter_reset

__all__ = ["services"]

SUCCEEDING_ATTEMPT = 4
ONE_MILLISECOND = timedelta(milliseconds=1)

failing = durably.VirtualObject("Failing")
# The first attempt takes one branch and the next the other, so there must be a next one: no patience with an idle
# attempt, and no retry of the mismatch that follows.
non_deterministic = durably.VirtualObject(
    "NonDeterministic",
    inactivity_timeout=timedelta(0),
    invocation_retry_policy=durably.InvocationRetryPolicy(
        initial_interval=ONE_MILLISECOND, max_attempts=1, on_max_attempts="kill"
    ),
)
services = (failing, non_deterministic)


def _failure(request: FailureRequest) -> durably.TerminalError:
    return durably.TerminalError(request["errorMessage"], metadata=request.get("metadata") or None)


@failing.handler("terminallyFailingCall")
def terminally_failing_call(ctx: durably.SyncObjectContext, request: FailureRequest) -> None:
    """Fail for good, as asked."""
    raise _failure(request)


@failing.handler("callTerminallyFailingCall")
def call_terminally_failing_call(ctx: durably.SyncObjectContext, request: FailureRequest) -> str:
    """Call another key's failing handler and let the failure through."""
    ctx.object_call(terminally_failing_call, key=str(ctx.uuid()), arg=request)
    return "unreachable"


@failing.handler("failingCallWithEventualSuccess")
def failing_call_with_eventual_success(ctx: durably.SyncObjectContext) -> int:
    """Fail three attempts in a retryable way, succeed in the fourth."""
    attempt = attempts.next("eventual-success", ctx.key())
    if attempt < SUCCEEDING_ATTEMPT:
        raise RuntimeError(f"Attempt {attempt} fails on purpose")
    attempts.reset("eventual-success", ctx.key())
    return attempt


@failing.handler("terminallyFailingSideEffect")
def terminally_failing_side_effect(ctx: durably.SyncObjectContext, request: FailureRequest) -> None:
    """Fail for good inside a durable step."""

    def fail() -> None:
        raise _failure(request)

    ctx.run_typed("fail for good", fail)


@failing.handler("sideEffectSucceedsAfterGivenAttempts")
def side_effect_succeeds_after_given_attempts(ctx: durably.SyncObjectContext, minimum: int) -> int:
    """Run a step that fails until it was tried `minimum` times; give its count of executions."""

    def succeed_at_last() -> int:
        attempt = attempts.next("succeeding-step", ctx.key())
        if attempt < minimum:
            raise RuntimeError(f"Execution {attempt} of {minimum} fails on purpose")
        return attempt

    options = durably.RunOptions[int](
        max_attempts=minimum + 1, initial_retry_interval=ONE_MILLISECOND, retry_interval_factor=1
    )
    return ctx.run_typed("succeed at last", succeed_at_last, options)


@failing.handler("sideEffectFailsAfterGivenAttempts")
def side_effect_fails_after_given_attempts(ctx: durably.SyncObjectContext, maximum: int) -> int:
    """Run a step that always fails and may be tried `maximum` times; give its count of executions."""

    def always_fail() -> None:
        attempt = attempts.next("failing-step", ctx.key())
        raise RuntimeError(f"Execution {attempt} fails on purpose")

    options = durably.RunOptions[None](
        max_attempts=maximum, initial_retry_interval=ONE_MILLISECOND, retry_interval_factor=1
    )
    try:
        ctx.run_typed("always fail", always_fail, options)
    except durably.TerminalError:
        return attempts.value("failing-step", ctx.key())
    raise durably.TerminalError("A step that always fails succeeded")


def _goes_left(ctx: durably.SyncObjectContext) -> bool:
    return attempts.next("non-deterministic", ctx.key()) % 2 == 1


def _count_what_must_not_happen(ctx: durably.SyncObjectContext) -> None:
    ctx.sleep(timedelta(milliseconds=100))
    ctx.object_send(counter_add, key=ctx.key(), arg=1)


@non_deterministic.handler("eitherSleepOrCall")
def either_sleep_or_call(ctx: durably.SyncObjectContext) -> None:
    """Sleep at first, call when replayed."""
    if _goes_left(ctx):
        ctx.sleep(timedelta(milliseconds=100))
    else:
        ctx.object_call(counter_get, key="abc", arg=None)
    _count_what_must_not_happen(ctx)


@non_deterministic.handler("callDifferentMethod")
def call_different_method(ctx: durably.SyncObjectContext) -> None:
    """Call one handler at first, another when replayed."""
    if _goes_left(ctx):
        ctx.object_call(counter_get, key="abc", arg=None)
    else:
        ctx.object_call(counter_reset, key="abc", arg=None)
    _count_what_must_not_happen(ctx)


@non_deterministic.handler("backgroundInvokeWithDifferentTargets")
def background_invoke_with_different_targets(ctx: durably.SyncObjectContext) -> None:
    """Send to one handler at first, to another when replayed."""
    if _goes_left(ctx):
        ctx.object_send(counter_get, key="abc", arg=None)
    else:
        ctx.object_send(counter_reset, key="abc", arg=None)
    _count_what_must_not_happen(ctx)


@non_deterministic.handler("setDifferentKey")
def set_different_key(ctx: durably.SyncObjectContext) -> None:
    """Set one state key at first, another when replayed."""
    ctx.set("a" if _goes_left(ctx) else "b", "my-state")
    _count_what_must_not_happen(ctx)
