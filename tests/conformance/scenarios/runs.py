"""RunRetry and RunFlush: durable steps, how often they are executed and when their results are stored."""

from __future__ import annotations

import time

from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

STEPS = 3
# Three attempts one millisecond apart take a fraction of this. An endpoint that holds the response of a failed attempt
# open makes the server wait 5 s for each.
PROMPTLY_SECONDS = 4.5


@scenario("RunRetry.withSuccess")
def with_success(stage: Stage) -> None:
    """A step that succeeds when executed for the third time is executed exactly three times."""
    assert stage.ingress.call("Failing", stage.key(), "sideEffectSucceedsAfterGivenAttempts", argument=3) == 3


@scenario("RunRetry.executedOnlyOnce")
def executed_only_once(stage: Stage) -> None:
    """A step that may be executed once and fails is executed exactly once."""
    assert stage.ingress.call("Failing", stage.key(), "sideEffectFailsAfterGivenAttempts", argument=1) == 1


@scenario("RunRetry.withExhaustedAttempts")
def with_exhausted_attempts(stage: Stage) -> None:
    """A step that may be executed three times and always fails is executed exactly three times, at once."""
    begun = time.monotonic()
    assert stage.ingress.call("Failing", stage.key(), "sideEffectFailsAfterGivenAttempts", argument=3) == 3
    assert stage.elapsed_since(begun) < PROMPTLY_SECONDS


@scenario("RunFlush.flush")
def flush(stage: Stage) -> None:
    """Where each step ends an attempt, the last attempt executes none; where attempts stay open, one executes all."""
    executed = stage.ingress.call("TestUtilsService", "countExecutedSideEffects", argument=STEPS)
    assert executed == (0 if stage.column.always_suspends else STEPS)
