"""The failing services of the contract, Failing and NonDeterministic, with `async def` handlers.

Owns nothing: how often something already failed is counted for each key in `contract.attempts`.
"""

from __future__ import annotations

from datetime import timedelta

from tests.conformance.services.asynchronous.keyed import add as counter_add
from tests.conformance.services.asynchronous.keyed import get_count as counter_get
from tests.conformance.services.asynchronous.keyed import reset as counter_reset
from tests.conformance.services.contract import FailureRequest, attempts
from tests.conformance.services.peer import restate

__all__ = ["services"]

SUCCEEDING_ATTEMPT = 4
ONE_MILLISECOND = timedelta(milliseconds=1)

failing = restate.VirtualObject("Failing")
# The first attempt takes one branch and the next the other, so there must be a next one: no patience with an idle
# attempt, and no retry of the mismatch that follows.
non_deterministic = restate.VirtualObject(
    "NonDeterministic",
    inactivity_timeout=timedelta(0),
    invocation_retry_policy=restate.InvocationRetryPolicy(
        initial_interval=ONE_MILLISECOND, max_attempts=1, on_max_attempts="kill"
    ),
)
services = (failing, non_deterministic)


def _failure(request: FailureRequest) -> restate.TerminalError:
    return restate.TerminalError(request["errorMessage"], metadata=request.get("metadata") or None)


@failing.handler("terminallyFailingCall")
async def terminally_failing_call(ctx: restate.ObjectContext, request: FailureRequest) -> None:
    """Fail for good, as asked."""
    raise _failure(request)


@failing.handler("callTerminallyFailingCall")
async def call_terminally_failing_call(ctx: restate.ObjectContext, request: FailureRequest) -> str:
    """Call another key's failing handler and let the failure through."""
    await ctx.object_call(terminally_failing_call, key=str(ctx.uuid()), arg=request)
    return "unreachable"


@failing.handler("failingCallWithEventualSuccess")
async def failing_call_with_eventual_success(ctx: restate.ObjectContext) -> int:
    """Fail three attempts in a retryable way, succeed in the fourth."""
    attempt = attempts.next("eventual-success", ctx.key())
    if attempt < SUCCEEDING_ATTEMPT:
        raise RuntimeError(f"Attempt {attempt} fails on purpose")
    attempts.reset("eventual-success", ctx.key())
    return attempt


@failing.handler("terminallyFailingSideEffect")
async def terminally_failing_side_effect(ctx: restate.ObjectContext, request: FailureRequest) -> None:
    """Fail for good inside a durable step."""

    def fail() -> None:
        raise _failure(request)

    await ctx.run_typed("fail for good", fail)


@failing.handler("sideEffectSucceedsAfterGivenAttempts")
async def side_effect_succeeds_after_given_attempts(ctx: restate.ObjectContext, minimum: int) -> int:
    """Run a step that fails until it was tried `minimum` times; give its count of executions."""

    def succeed_at_last() -> int:
        attempt = attempts.next("succeeding-step", ctx.key())
        if attempt < minimum:
            raise RuntimeError(f"Execution {attempt} of {minimum} fails on purpose")
        return attempt

    options = restate.RunOptions[int](
        max_attempts=minimum + 1, initial_retry_interval=ONE_MILLISECOND, retry_interval_factor=1
    )
    return await ctx.run_typed("succeed at last", succeed_at_last, options)


@failing.handler("sideEffectFailsAfterGivenAttempts")
async def side_effect_fails_after_given_attempts(ctx: restate.ObjectContext, maximum: int) -> int:
    """Run a step that always fails and may be tried `maximum` times; give its count of executions."""

    def always_fail() -> None:
        attempt = attempts.next("failing-step", ctx.key())
        raise RuntimeError(f"Execution {attempt} fails on purpose")

    options = restate.RunOptions[None](
        max_attempts=maximum, initial_retry_interval=ONE_MILLISECOND, retry_interval_factor=1
    )
    try:
        await ctx.run_typed("always fail", always_fail, options)
    except restate.TerminalError:
        return attempts.value("failing-step", ctx.key())
    raise restate.TerminalError("A step that always fails succeeded")


def _goes_left(ctx: restate.ObjectContext) -> bool:
    return attempts.next("non-deterministic", ctx.key()) % 2 == 1


async def _count_what_must_not_happen(ctx: restate.ObjectContext) -> None:
    await ctx.sleep(timedelta(milliseconds=100))
    ctx.object_send(counter_add, key=ctx.key(), arg=1)


@non_deterministic.handler("eitherSleepOrCall")
async def either_sleep_or_call(ctx: restate.ObjectContext) -> None:
    """Sleep at first, call when replayed."""
    if _goes_left(ctx):
        await ctx.sleep(timedelta(milliseconds=100))
    else:
        await ctx.object_call(counter_get, key="abc", arg=None)
    await _count_what_must_not_happen(ctx)


@non_deterministic.handler("callDifferentMethod")
async def call_different_method(ctx: restate.ObjectContext) -> None:
    """Call one handler at first, another when replayed."""
    if _goes_left(ctx):
        await ctx.object_call(counter_get, key="abc", arg=None)
    else:
        await ctx.object_call(counter_reset, key="abc", arg=None)
    await _count_what_must_not_happen(ctx)


@non_deterministic.handler("backgroundInvokeWithDifferentTargets")
async def background_invoke_with_different_targets(ctx: restate.ObjectContext) -> None:
    """Send to one handler at first, to another when replayed."""
    if _goes_left(ctx):
        ctx.object_send(counter_get, key="abc", arg=None)
    else:
        ctx.object_send(counter_reset, key="abc", arg=None)
    await _count_what_must_not_happen(ctx)


@non_deterministic.handler("setDifferentKey")
async def set_different_key(ctx: restate.ObjectContext) -> None:
    """Set one state key at first, another when replayed."""
    ctx.set("a" if _goes_left(ctx) else "b", "my-state")
    await _count_what_must_not_happen(ctx)
