"""What passes between the machine and the layer above: handles, results, inputs, targets.

A handle names a notification that may come. Completion ids are positive integers; signal indexes are
negative ones (awakeable 17 is -17, CANCEL is -1); named signals are their name. No table translates
them: the sign and the type say which kind it is.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "CANCEL",
    "FIRST_FREE_SIGNAL",
    "Failure",
    "Handle",
    "IdempotentTarget",
    "InvocationInput",
    "Progress",
    "Result",
    "Target",
    "WorkflowTarget",
]

Handle = int | str
"""Completion id, negated signal index, or the name of a signal."""

CANCEL: Final = -1
"""Handle of the built-in signal that cancels the invocation."""

FIRST_FREE_SIGNAL: Final = 17
"""First signal index that the handler may take; the protocol reserves 1 to 16."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A terminal failure, as stored in a journal.

    Attributes:
        code: 1 to 65535; an HTTP status where one fits.
        message: Text for the caller.
        metadata: Pairs of key and value; needs protocol V6.

    Source: service protocol, Failure.
    """

    code: int
    message: str
    metadata: tuple[tuple[str, str], ...] = ()


Result = bytes | None | Failure | str | tuple[str, ...]
"""What a notification brings: a value, nothing (void), a failure, an invocation id, or state keys."""


class Progress(enum.Enum):
    """What the driver does after asking for progress on an await.

    Attributes:
        READY: Something that is awaited has completed: look with `is_completed`, then `take`.
        WAIT: Send `data_to_send()`, then wait for data, end of data, or a proposal of an executing
            step; then ask again.
        EXECUTE_RUN: Execute the durable step `run_to_execute` and propose its result; meanwhile ask
            again.
        CANCELLED: The invocation was cancelled and its children were told; raise the cancellation
            in the handler.
        SUSPENDED: Suspension is written: send `data_to_send()` and abandon the handler.
    """

    READY = enum.auto()
    WAIT = enum.auto()
    EXECUTE_RUN = enum.auto()
    CANCELLED = enum.auto()
    SUSPENDED = enum.auto()


class InvocationInput(NamedTuple):
    """What the handler is invoked with.

    Attributes:
        id: Raw invocation id, 24 bytes.
        debug_id: The same as text, `inv_1…`.
        key: Key of the object or workflow; "" for plain services.
        headers: Pairs of name and value, in their order.
        body: The payload; b"" when there is none.
        random_seed: Seed of deterministic randomness, the same on each attempt.
        scope: Scope of the invocation, or None (protocol V7).
        limit_key: Limit key of the invocation, or None (protocol V7).
        idempotency_key: Idempotency key of the invocation, or None (protocol V7).
        known_entries: How many journal entries were recorded before this attempt, Input included.
    """

    id: bytes
    debug_id: str
    key: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    random_seed: int
    scope: str | None
    limit_key: str | None
    idempotency_key: str | None
    known_entries: int


@dataclass(frozen=True, slots=True)
class WorkflowTarget:
    """A workflow run, named by workflow and key.

    Attributes:
        name: Name of the workflow.
        key: Key of the run.
        scope: Scope of the run, or None; needs protocol V7.
    """

    name: str
    key: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotentTarget:
    """An invocation, named by the idempotency key it was made with.

    Attributes:
        service: Name of the service or object.
        handler: Name of the handler.
        idempotency_key: The key it was invoked with.
        key: Key of the object, or None for plain services.
        scope: Scope of the invocation, or None; needs protocol V7.
    """

    service: str
    handler: str
    idempotency_key: str
    key: str | None = None
    scope: str | None = None


Target = str | WorkflowTarget | IdempotentTarget
"""An invocation to attach to: its id, or one of the two other ways to name it."""
