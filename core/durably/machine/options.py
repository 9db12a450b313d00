"""What can be chosen about a machine. Constant for its life."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from durably.protocol.framing import DEFAULT_MAX_MESSAGE_BYTES

__all__ = ["DEFAULT_OPTIONS", "AwaitingOnPolicy", "ErrorBehavior", "MachineOptions", "MismatchPolicy"]


class ErrorBehavior(enum.IntEnum):
    """What the runtime does with a failed attempt. Anything but RETRY needs protocol V7.

    Source: ErrorMessage, `behavior`.
    """

    RETRY = 0
    PAUSE = 1
    FAIL = 2


MismatchPolicy = ErrorBehavior
"""What happens to an invocation whose handler does not follow its journal."""


class AwaitingOnPolicy(enum.Enum):
    """When to tell the runtime what the handler waits for (protocol V7; V5 and V6 have no message for it).

    `WHEN_IDLE` tells also that a step is awaited whose result was just proposed. `WHEN_WAITING` does not: its
    acknowledgement comes at once, and it would be one more message for every step.
    """

    ALWAYS = "always"
    WHEN_IDLE = "when no durable step executes"
    WHEN_WAITING = "when no durable step executes or waits for its acknowledgement"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class MachineOptions:
    """Choices for a machine.

    Attributes:
        max_message_bytes: Longest message accepted and written, inclusive; the runtime's default.
        check_payloads: Whether replay compares payloads, not only names and targets. Switch it off
            where serialization is not repeatable.
        implicit_cancellation: Whether a cancellation interrupts whatever is awaited. Without it the
            handler must await `CANCEL` itself.
        cancel_children_calls: Whether an implicit cancellation is passed on to calls.
        cancel_children_sends: Whether it is passed on to one-way calls.
        mismatch_behavior: What the runtime does when the handler does not follow its journal. Below
            protocol V7 it always retries.
        awaiting_on: When to report what is awaited.
    """

    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    check_payloads: bool = True
    implicit_cancellation: bool = True
    cancel_children_calls: bool = True
    cancel_children_sends: bool = False
    mismatch_behavior: ErrorBehavior = ErrorBehavior.RETRY
    awaiting_on: AwaitingOnPolicy = AwaitingOnPolicy.WHEN_WAITING


DEFAULT_OPTIONS: Final = MachineOptions()
