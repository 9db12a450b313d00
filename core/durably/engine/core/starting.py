"""The beginning of attempts: where each goes and what it speaks.

Rules

1. A part that wants an attempt calls `Turn.activate`; deployment and version are chosen here, once it is known
   that the invocation still runs.
2. An attempt that can go nowhere fails like any other: it is retried, so that a deployment can be registered.
"""

from __future__ import annotations

from durably.engine.core.failures import fail
from durably.engine.core.plans import choose_deployment, choose_version
from durably.engine.core.turn import Turn
from durably.engine.records import AttemptFailure, Status

__all__ = ["prepare"]


def prepare(turn: Turn) -> None:
    """Choose deployment and version for each attempt that begins in this turn; without them it fails."""
    while turn.unprepared:
        invocation = turn.unprepared.pop()
        if invocation.status is not Status.RUNNING:
            continue
        turn.change(invocation)
        deployment = choose_deployment(turn.tx, invocation)
        if isinstance(deployment, AttemptFailure):
            fail(turn, invocation, deployment)
            continue
        invocation.attempt_deployment_id = deployment.id
        version = choose_version(invocation, deployment, turn.options)
        if isinstance(version, AttemptFailure):
            fail(turn, invocation, version)
            continue
        invocation.attempt_version = version
        invocation.attempt_known_entries = invocation.journal_length
