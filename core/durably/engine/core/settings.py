"""What holds for a handler: its own options, then its service's, then the engine's defaults.

Rules

1. The handler's value wins over the service's, and that over the engine's default; retry policies are
   combined field by field.
2. A handler is public unless it or its service is private.
3. Attempts follow the revision of the deployment they run on; the retention of a new invocation
   and the ingress follow the latest revision.
4. An invocation keeps its completion record for as long as its retention says:

    invocation                      record                    journal
    ------------------------------  ------------------------  ---------------------------
    run of a workflow               workflow retention        the shorter of both
    with an idempotency key         idempotency retention     the shorter of both
    any other                       journal retention         journal retention
"""

from __future__ import annotations

import dataclasses
from typing import Final, TypeVar

from durably.engine.records import (
    EngineOptions,
    HandlerRecord,
    Invocation,
    OptionsRecord,
    RetryPolicy,
    RetryPolicyRecord,
    ServiceRecord,
    TargetKind,
)
from durably.engine.store.contract import Reader

__all__ = [
    "eager_state_keys_of",
    "handler_at",
    "is_public",
    "lazy_state_of",
    "options_of",
    "retention_of",
    "retry_policy_of",
    "timeouts_of",
]

T = TypeVar("T")

_NONE: Final = OptionsRecord()


def handler_at(reader: Reader, invocation: Invocation) -> tuple[OptionsRecord, OptionsRecord]:
    """Give the options of the handler and of the service on the deployment of the current attempt.

    A handler that the deployment does not have any more has none; neither does its service then.
    """
    deployment_id = invocation.attempt_deployment_id or invocation.deployment_id
    if deployment_id is None:
        return _NONE, _NONE
    service = reader.service_at(invocation.service, deployment_id)
    if service is None:
        return _NONE, _NONE
    return options_of(service, invocation.handler)


def options_of(service: ServiceRecord, handler: str) -> tuple[OptionsRecord, OptionsRecord]:
    """Give the options of a handler and of its service."""
    record = service.handlers.get(handler)
    return (_NONE if record is None else record.options), service.options


def is_public(service: ServiceRecord, handler: HandlerRecord) -> bool:
    """Tell whether the ingress may call a handler."""
    return service.options.public is not False and handler.options.public is not False


def timeouts_of(handler: OptionsRecord, service: OptionsRecord, options: EngineOptions) -> tuple[int, int]:
    """Give inactivity and abort timeout in milliseconds."""
    return (
        _first(handler.inactivity_timeout_ms, service.inactivity_timeout_ms, options.inactivity_timeout_ms),
        _first(handler.abort_timeout_ms, service.abort_timeout_ms, options.abort_timeout_ms),
    )


def lazy_state_of(handler: OptionsRecord, service: OptionsRecord, options: EngineOptions) -> bool:
    """Tell whether no state is sent along with an attempt."""
    return _first(handler.enable_lazy_state, service.enable_lazy_state, options.enable_lazy_state)


def eager_state_keys_of(handler: OptionsRecord, service: OptionsRecord) -> tuple[str, ...]:
    """Give the keys of state to send along even with lazy state."""
    return _first(handler.eager_state_keys, service.eager_state_keys, ())


def retention_of(
    service: ServiceRecord, handler: HandlerRecord, options: EngineOptions, *, idempotent: bool
) -> tuple[int, int]:
    """Give journal and completion retention of a new invocation, in milliseconds; see rule 4."""
    own, shared = handler.options, service.options
    journal = _first(own.journal_retention_ms, shared.journal_retention_ms, options.journal_retention_ms)
    if handler.kind is TargetKind.WORKFLOW_RUN:
        completion = _first(
            own.workflow_completion_retention_ms,
            shared.workflow_completion_retention_ms,
            options.workflow_retention_ms,
        )
    elif idempotent:
        completion = _first(
            own.idempotency_retention_ms, shared.idempotency_retention_ms, options.idempotency_retention_ms
        )
    else:
        completion = journal
    return min(journal, completion), completion


def retry_policy_of(handler: OptionsRecord, service: OptionsRecord, options: EngineOptions) -> RetryPolicy:
    """Give the retry policy."""
    policy = options.retry_policy
    for record in (service.retry_policy, handler.retry_policy):
        if record is not None:
            policy = _refine(policy, record)
    return policy


def _refine(policy: RetryPolicy, record: RetryPolicyRecord) -> RetryPolicy:
    attempts = record.max_attempts
    return dataclasses.replace(
        policy,
        initial_interval_ms=_first(record.initial_interval_ms, policy.initial_interval_ms),
        max_interval_ms=_first(record.max_interval_ms, policy.max_interval_ms),
        factor=_first(record.exponentiation_factor, policy.factor),
        max_attempts=policy.max_attempts if attempts is None else max(attempts, 1),
        on_max_attempts=_first(record.on_max_attempts, policy.on_max_attempts),
    )


def _first(value: T | None, *others: T | None) -> T:
    if value is not None:
        return value
    for other in others:
        if other is not None:
            return other
    raise AssertionError("the engine's default is never absent")
