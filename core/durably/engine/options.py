"""What can be chosen about an engine: retries, limits, timeouts and retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from durably.protocol.manifest import OnMaxAttempts
from durably.protocol.versions import ProtocolVersion

__all__ = ["EngineOptions", "Limits", "RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failed attempts are retried.

    Attributes:
        initial_interval_ms: Pause before the second attempt.
        factor: Each pause is the last one times this.
        max_interval_ms: Longest pause.
        max_attempts: Total, the first included; None for no end.
        on_max_attempts: What happens then.
    """

    initial_interval_ms: int = 500
    factor: float = 2.0
    max_interval_ms: int = 60_000
    max_attempts: int | None = 70
    on_max_attempts: OnMaxAttempts = OnMaxAttempts.PAUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of something is accepted, inclusive.

    Attributes:
        message_bytes: One message to or from a service.
        body_bytes: One request body at the ingress.
        header_bytes: All headers of a request together.
        header_count: Their number.
        key_bytes: Key of an object or workflow.
        idempotency_key_bytes: An idempotency key.
        journal_entries: Entries of a journal; a command beyond it fails the attempt for good (PAUSE).
        journal_entries_warning: From where the engine warns.
        future_depth: Nesting of what an invocation awaits.
        eager_state_bytes: State sent along with an attempt; the rest is fetched when asked for.
        attempts_in_flight: Attempts open at the same time.
    """

    message_bytes: int = 32 * 1024 * 1024
    body_bytes: int = 32 * 1024 * 1024
    header_bytes: int = 64 * 1024
    header_count: int = 100
    key_bytes: int = 8 * 1024
    idempotency_key_bytes: int = 1024
    journal_entries: int = 100_000
    journal_entries_warning: int = 10_000
    future_depth: int = 1000
    eager_state_bytes: int = 32 * 1024 * 1024
    attempts_in_flight: int = 1000


_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Defaults where no manifest says otherwise, and limits.

    Attributes:
        inactivity_timeout_ms: Idle time of an attempt before it is asked to suspend; 0 always asks at once.
        abort_timeout_ms: Further time before it is aborted.
        journal_retention_ms: How long journals are kept after completion.
        idempotency_retention_ms: How long results of idempotent requests are.
        workflow_retention_ms: How long finished workflow runs are.
        retry_policy: How failed attempts are retried.
        enable_lazy_state: Whether no state is sent along.
        max_protocol_version: Highest version of the service protocol that is spoken.
        limits: How much is accepted.
    """

    inactivity_timeout_ms: int = 60_000
    abort_timeout_ms: int = 600_000
    journal_retention_ms: int = _DAY_MS
    idempotency_retention_ms: int = _DAY_MS
    workflow_retention_ms: int = _DAY_MS
    retry_policy: RetryPolicy = RetryPolicy()
    enable_lazy_state: bool = False
    max_protocol_version: ProtocolVersion = ProtocolVersion.V7
    limits: Limits = Limits()
