"""The runtime's state machine: `apply` takes an event and a transaction, and answers with actions.

Decisions only: no input or output, no clock, no randomness of its own.

    actions = apply(tx, event, now_ms, random, options)   # then commit, then do the actions
    plan = plan_attempt(reader, invocation_id, attempt, options, now_ms)   # for a StartAttempt without a plan
"""

from __future__ import annotations

from durably.engine.core.identifiers import idempotent_id, workflow_id
from durably.engine.core.keys import state_version
from durably.engine.core.machine import apply
from durably.engine.core.plans import plan_attempt
from durably.engine.core.settings import (
    is_public,
    lazy_state_of,
    options_of,
    retention_of,
    retry_policy_of,
    timeouts_of,
)
from durably.engine.core.turn import Randomness

__all__ = [
    "Randomness",
    "apply",
    "idempotent_id",
    "is_public",
    "lazy_state_of",
    "options_of",
    "plan_attempt",
    "retention_of",
    "retry_policy_of",
    "state_version",
    "timeouts_of",
    "workflow_id",
]
