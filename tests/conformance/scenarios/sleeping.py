"""Sleep: durable timers."""

from __future__ import annotations

import random
import time

from tests.conformance.scenarios.combinators import await_, interpret, sleep, submit
from tests.conformance.suite.registry import scenario
from tests.conformance.suite.stages import Stage

__all__: list[str] = []

INVOCATIONS = 50
SLEEPS_EACH = 20


@scenario("Sleep.sleep")
def one_sleep(stage: Stage) -> None:
    """A sleep takes at least as long as asked."""
    begun = time.monotonic()
    assert interpret(stage, stage.key(), {"type": "awaitOne", "command": sleep(10)}) == "sleep"
    assert stage.elapsed_since(begun) >= 0.010


@scenario("Sleep.manySleeps", seconds=90)
def many_sleeps(stage: Stage) -> None:
    """Fifty invocations with twenty timers each all finish, with every timer's outcome."""
    durations = random.Random(0)
    submissions = [
        submit(
            stage,
            stage.key(),
            await_("awaitAllCompleted", *(sleep(durations.randint(10, 50)) for _ in range(SLEEPS_EACH))),
        )
        for _ in range(INVOCATIONS)
    ]
    for submission in submissions:
        assert stage.ingress.attach(submission.invocation_id) == "|".join(["ok:sleep"] * SLEEPS_EACH)
