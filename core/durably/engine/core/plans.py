"""What an attempt is opened with: deployment, version, the Start message and the recorded journal.

Rules

1. A pinned invocation goes to its deployment and speaks its version. Others go to the latest
   revision's deployment and speak the highest version that it and the engine share.
2. Start, then every entry of the journal as it was stored, in its order.
3. State goes along for keyed targets, in the order of its names, until the limit is reached;
   then, and with lazy state, and for plain services, `partial_state` is true: what is absent is unknown.

    Start field                             since
    --------------------------------------  -----
    id, debug_id, key, known_entries        V5
    state_map, partial_state                V5
    retry_count…, duration_since_last…      V5
    random_seed                             V6
    scope, limit_key, idempotency_key       V7
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from durably.engine.core import settings
from durably.engine.records import (
    AttemptFailure,
    AttemptPlan,
    Deployment,
    EngineOptions,
    Invocation,
    JournalEntry,
    OptionsRecord,
    Status,
)
from durably.engine.store.contract import Reader
from durably.protocol import messages
from durably.protocol.ids import InvocationId
from durably.protocol.messages import MessageType
from durably.protocol.versions import ProtocolVersion

__all__ = ["INLINE_ENTRIES", "choose_deployment", "choose_version", "plan_attempt", "plan_of"]

INLINE_ENTRIES: Final = 64
"""Longest journal whose plan is made by the writer; longer ones are read by a reader."""

_INLINE_STATE_BYTES: Final = 64 * 1024
# Likewise for the state that goes along.


def choose_deployment(reader: Reader, invocation: Invocation) -> Deployment | AttemptFailure:
    """Give where the next attempt goes (rule 1), or why it cannot go anywhere."""
    deployment_id = invocation.deployment_id
    if deployment_id is None:
        service = reader.service(invocation.service)
        if service is None:
            return AttemptFailure(
                500, f"No deployment has service {invocation.service!r}.", counts_as_progress_retry=False
            )
        deployment_id = service.deployment_id
    deployment = reader.deployment(deployment_id)
    if deployment is None:
        return AttemptFailure(
            500,
            f"Deployment {deployment_id} of the invocation is not registered any more; resume it on another one.",
            counts_as_progress_retry=False,
        )
    return deployment


def choose_version(
    invocation: Invocation, deployment: Deployment, options: EngineOptions
) -> ProtocolVersion | AttemptFailure:
    """Give what the next attempt speaks (rule 1), or why there is nothing in common."""
    pinned = invocation.protocol_version
    lowest, highest = deployment.min_protocol_version, deployment.max_protocol_version
    chosen = min(highest, options.max_protocol_version) if pinned is None else pinned
    if lowest <= chosen <= highest and chosen in ProtocolVersion.__members__.values():
        return ProtocolVersion(chosen)
    return AttemptFailure(
        500,
        f"Deployment {deployment.id} speaks service protocol V{lowest} to V{highest}; the invocation needs V{chosen}.",
        doc_code="RT0013",
        counts_as_progress_retry=False,
    )


def plan_attempt(
    reader: Reader, invocation_id: str, attempt: int, options: EngineOptions, now_ms: int
) -> AttemptPlan | None:
    """Read what an attempt is opened with, for a `StartAttempt` without a plan.

    Returns:
        The plan; None when this is not the current attempt any more: then it is not opened.
    """
    invocation = reader.invocation(invocation_id)
    if invocation is None or invocation.attempt != attempt or invocation.status is not Status.RUNNING:
        return None
    return plan_of(reader, invocation, options, now_ms)


def plan_of(
    reader: Reader,
    invocation: Invocation,
    options: EngineOptions,
    now_ms: int,
    *,
    journal: Sequence[JournalEntry] | None = None,
    inline: bool = False,
) -> AttemptPlan | None:
    """Make the plan of the current attempt.

    Args:
        reader: Where to read.
        invocation: Whose attempt; it is running.
        options: Defaults and limits.
        now_ms: The time.
        journal: The whole journal, where it is known already.
        inline: Whether to give up when there is much state.

    Returns:
        The plan; None when its deployment is gone, or when it would be too large with `inline`.
    """
    deployment_id = invocation.attempt_deployment_id
    deployment = None if deployment_id is None else reader.deployment(deployment_id)
    if deployment is None or invocation.attempt_version is None:
        return None
    version = ProtocolVersion(invocation.attempt_version)
    own, shared = settings.handler_at(reader, invocation)
    start = messages.Start(
        id=InvocationId.decode(invocation.id).raw,
        debug_id=invocation.id,
        key=invocation.key,
        known_entries=invocation.journal_length,
        retry_count_since_last_stored_entry=invocation.retries_since_entry,
        duration_since_last_stored_entry=max(0, now_ms - invocation.last_entry_at),
        partial_state=True,
    )
    if version >= ProtocolVersion.V6:
        start.random_seed = invocation.random_seed
    if version >= ProtocolVersion.V7:
        _add_v7(start, invocation)
    if invocation.kind.is_keyed and not _add_state(start, reader, invocation, own, shared, options, inline=inline):
        return None
    entries = reader.entries(invocation.id, invocation.journal_length) if journal is None else journal
    frames = [(int(MessageType.START), 0, start.SerializeToString())]
    frames += [(entry.type, 0, entry.payload) for entry in entries]
    inactivity_ms, abort_ms = settings.timeouts_of(own, shared, options)
    return AttemptPlan(
        invocation.id,
        invocation.attempt,
        deployment,
        version,
        invocation.target,
        invocation.kind.is_keyed,
        tuple(frames),
        invocation.journal_length,
        inactivity_ms,
        abort_ms,
    )


def _add_v7(start: messages.Start, invocation: Invocation) -> None:
    if invocation.scope is not None:
        start.scope = invocation.scope
    if invocation.limit_key is not None:
        start.limit_key = invocation.limit_key
    if invocation.idempotency_key is not None:
        start.idempotency_key = invocation.idempotency_key


def _add_state(
    start: messages.Start,
    reader: Reader,
    invocation: Invocation,
    own: OptionsRecord,
    shared: OptionsRecord,
    options: EngineOptions,
    *,
    inline: bool,
) -> bool:
    service, key = invocation.service, invocation.key
    if settings.lazy_state_of(own, shared, options):
        for text in settings.eager_state_keys_of(own, shared):
            name = text.encode()
            value = reader.state_value(service, key, name)
            if value is not None:
                start.state_map.add(key=name, value=value)
        return True
    size = 0
    for name, value in reader.state_items(service, key):
        size += len(name) + len(value)
        if inline and size > _INLINE_STATE_BYTES:
            return False
        if size > options.limits.eager_state_bytes:
            return True
        start.state_map.add(key=name, value=value)
    start.partial_state = False
    return True
