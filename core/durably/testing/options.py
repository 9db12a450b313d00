"""What a test asks of its harness.

Owns the options, their defaults, and what comes from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from durably.engine.options import EngineOptions, RetryPolicy
from durably.protocol.manifest import OnMaxAttempts

__all__ = ["SERVER_VARIABLE", "HarnessOptions", "engine_options", "runs_on_server"]

SERVER_VARIABLE: Final = "DURABLY_TEST_SERVER"
"""Set to anything but 0, harnesses run on a real server unless their test says otherwise."""

_TEN_YEARS_MS: Final = 10 * 365 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessOptions:
    """How handlers are run in a test.

    Attributes:
        always_replay: Suspend at every wait, so that each one is followed by a replay. Between the attempts of an
            invocation the seed of `random` changes as well.
        disable_retries: Fail an invocation at its first failed attempt.
        skip_time: Let the clock jump to the next timer whenever a call is waited for and nothing else is left to do.
        shuffle: Seed by which completions change their order; None leaves them in theirs.
        engine: Timeouts, retries and limits of the engine; None takes those for tests.
        on_crash: Called after each crash that the harness caused: drop here what a process loses when it dies.
    """

    always_replay: bool = False
    disable_retries: bool = False
    skip_time: bool = False
    shuffle: int | None = None
    engine: EngineOptions | None = None
    on_crash: Callable[[], None] | None = None


def engine_options(options: HarnessOptions) -> EngineOptions:
    """Give the options of the engine: short retries that end, and results that are kept while the clock jumps."""
    if options.engine is not None:
        return options.engine
    return EngineOptions(
        inactivity_timeout_ms=0 if options.always_replay else _TEN_YEARS_MS,  # or skipped time would make attempts idle
        journal_retention_ms=_TEN_YEARS_MS,
        idempotency_retention_ms=_TEN_YEARS_MS,
        workflow_retention_ms=_TEN_YEARS_MS,
        retry_policy=RetryPolicy(
            initial_interval_ms=10, max_interval_ms=1_000, max_attempts=20, on_max_attempts=OnMaxAttempts.KILL
        ),
    )


def runs_on_server(server: bool | None) -> bool:
    """Tell whether a real server is asked for: by the argument, or else by the environment."""
    if server is not None:
        return server
    return os.environ.get(SERVER_VARIABLE, "0") not in ("", "0")
