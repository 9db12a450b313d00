"""Retry policies of durable steps: whether a failed step is tried again, and when.

A failed step is not retried here. Its attempt ends with an Error that carries a delay, the runtime
opens another attempt, and the step is executed again. How often that has happened is known from
Start, and only for a step that was the last thing recorded: anything recorded after it resets the
count.

    n        failures of the step so far, this one included
    elapsed  time since its first failure
    exhausted when max_attempts <= n or max_duration <= elapsed
    delay    min(max_interval, initial_interval * factor ** (n - 1))

Source: ours, modelled on the policies of the Restate SDKs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

__all__ = ["FailAsTerminal", "OnExhausted", "PauseInvocation", "RetryDecision", "RetryLater", "RunRetryPolicy"]

# Longest delay ever asked for: 8,900 years. Only keeps `factor ** n` within 64 bits.
_LONGEST_DELAY_MS: Final = 1 << 48


class OnExhausted(enum.Enum):
    """What becomes of a step whose retries ran out."""

    FAIL_AS_TERMINAL = "the step fails for good"
    PAUSE = "the invocation pauses (protocol V7)"


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Fail the attempt, so that it is tried again.

    Attributes:
        delay_ms: Milliseconds until then; None leaves it to the runtime.
    """

    delay_ms: int | None


@dataclass(frozen=True, slots=True)
class FailAsTerminal:
    """Record the failure as the step's result."""


@dataclass(frozen=True, slots=True)
class PauseInvocation:
    """Fail the attempt and pause the invocation."""


RetryDecision = RetryLater | FailAsTerminal | PauseInvocation


@dataclass(frozen=True, slots=True)
class RunRetryPolicy:
    """How a durable step is retried. Without arguments: for ever, at the runtime's pace.

    Attributes:
        initial_interval_ms: Milliseconds before the first retry; None leaves all delays to the
            runtime, and the limits still hold.
        factor: What each delay is multiplied with to get the next; 1 keeps it fixed.
        max_interval_ms: Longest delay, or None.
        max_attempts: Executions in all, the first included, after which the step gives up; 0 means
            1; None means no limit.
        max_duration_ms: Milliseconds since the first failure after which it gives up, or None.
        on_exhausted: What happens then.
    """

    initial_interval_ms: int | None = None
    factor: float = 2.0
    max_interval_ms: int | None = None
    max_attempts: int | None = None
    max_duration_ms: int | None = None
    on_exhausted: OnExhausted = OnExhausted.FAIL_AS_TERMINAL

    @classmethod
    def infinite(cls) -> RunRetryPolicy:
        """Retry for ever, at the runtime's pace."""
        return _INFINITE

    @classmethod
    def none(cls) -> RunRetryPolicy:
        """Never retry: the first failure is the step's result."""
        return _NONE

    def decide(self, *, failures: int, elapsed_ms: int, retry_after_ms: int | None = None) -> RetryDecision:
        """Say what becomes of a failed step.

        Args:
            failures: How often it has failed, this time included; at least 1.
            elapsed_ms: Milliseconds since its first failure.
            retry_after_ms: A delay that replaces the computed one, or None. Limits still hold.
        """
        exhausted = (self.max_attempts is not None and self.max_attempts <= failures) or (
            self.max_duration_ms is not None and self.max_duration_ms <= elapsed_ms
        )
        if exhausted:
            return PauseInvocation() if self.on_exhausted is OnExhausted.PAUSE else FailAsTerminal()
        return RetryLater(self._delay_ms(failures) if retry_after_ms is None else retry_after_ms)

    def _delay_ms(self, failures: int) -> int | None:
        if self.initial_interval_ms is None:
            return None
        longest = _LONGEST_DELAY_MS if self.max_interval_ms is None else self.max_interval_ms
        try:
            return int(min(longest, self.initial_interval_ms * self.factor ** (failures - 1)))
        except OverflowError:
            return longest


_INFINITE: Final = RunRetryPolicy()
_NONE: Final = RunRetryPolicy(max_attempts=1)
