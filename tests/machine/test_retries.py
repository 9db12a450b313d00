"""Retry policies: when a step gives up, and how long it waits."""

from __future__ import annotations

import pytest

from durably.machine import OnExhausted, RunRetryPolicy
from durably.machine.retries import FailAsTerminal, PauseInvocation, RetryLater


def test_infinite_leaves_the_delay_to_the_runtime():
    """The default never gives up and asks for no delay."""
    assert RunRetryPolicy.infinite() == RunRetryPolicy()
    assert RunRetryPolicy.infinite().decide(failures=10**6, elapsed_ms=10**12) == RetryLater(None)


def test_none_fails_at_once():
    """Without retries the first failure is the result, even where a delay was asked for."""
    assert RunRetryPolicy.none().decide(failures=1, elapsed_ms=0, retry_after_ms=5) == FailAsTerminal()


@pytest.mark.parametrize(("failures", "delay_ms"), [(1, 100), (2, 200), (3, 400), (4, 500), (5, 500)])
def test_core_exponential_policy(failures: int, delay_ms: int):
    """Delays double up to the longest."""
    policy = RunRetryPolicy(initial_interval_ms=100, factor=2.0, max_interval_ms=500, max_duration_ms=10_000)
    assert policy.decide(failures=failures, elapsed_ms=1000) == RetryLater(delay_ms)


def test_core_max_duration():
    """The time limit is inclusive: reaching it gives up."""
    policy = RunRetryPolicy(initial_interval_ms=100, max_duration_ms=10_000)
    assert policy.decide(failures=4, elapsed_ms=9_999) == RetryLater(800)
    assert policy.decide(failures=4, elapsed_ms=10_000) == FailAsTerminal()


@pytest.mark.parametrize("max_attempts", [0, 1])
def test_core_max_attempts_zero_and_one(max_attempts: int):
    """Zero and one both mean one execution."""
    policy = RunRetryPolicy(max_attempts=max_attempts)
    assert policy.decide(failures=1, elapsed_ms=0) == FailAsTerminal()


def test_core_max_attempts():
    """The limit counts executions, the first included."""
    policy = RunRetryPolicy(initial_interval_ms=10, max_attempts=3)
    assert policy.decide(failures=2, elapsed_ms=0) == RetryLater(20)
    assert policy.decide(failures=3, elapsed_ms=0) == FailAsTerminal()


def test_core_pause_when_exhausted():
    """The invocation can pause instead of failing."""
    policy = RunRetryPolicy(max_attempts=1, on_exhausted=OnExhausted.PAUSE)
    assert policy.decide(failures=1, elapsed_ms=0) == PauseInvocation()


def test_limits_hold_without_an_interval():
    """Attempts are counted also where the runtime chooses the delays."""
    policy = RunRetryPolicy(max_attempts=2)
    assert policy.decide(failures=1, elapsed_ms=0) == RetryLater(None)
    assert policy.decide(failures=2, elapsed_ms=0) == FailAsTerminal()


def test_a_delay_can_be_asked_for():
    """A delay that the step asked for replaces the computed one; the limits still hold."""
    policy = RunRetryPolicy(initial_interval_ms=10, max_attempts=2)
    assert policy.decide(failures=1, elapsed_ms=0, retry_after_ms=7000) == RetryLater(7000)
    assert policy.decide(failures=2, elapsed_ms=0, retry_after_ms=7000) == FailAsTerminal()


def test_delays_stay_finite():
    """A factor to a high power is cut off instead of overflowing."""
    policy = RunRetryPolicy(initial_interval_ms=100, factor=10.0)
    decision = policy.decide(failures=5000, elapsed_ms=0)
    assert isinstance(decision, RetryLater)
    assert decision.delay_ms is not None
    assert 10**12 < decision.delay_ms < 2**63
    capped = RunRetryPolicy(initial_interval_ms=100, factor=10.0, max_interval_ms=777)
    assert capped.decide(failures=5000, elapsed_ms=0) == RetryLater(777)
