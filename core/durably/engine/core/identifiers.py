"""Ids of invocations: who gets which.

Rules

1. The run of a workflow has an id that follows from workflow and key; an invocation with an
   idempotency key has one that follows from target and key. So a repeated request finds the first.
2. A child's id follows from its parent and the position of the command that made it. So a
   command that is handled twice cannot make two children. The parent's random seed takes part,
   because a workflow's run that was purged and submitted again has the same id, but other children.
3. All others get a ULID: time, then 80 random bits, beside 64 bits that are random or follow from
   the key, so that ids cannot be guessed.
"""

from __future__ import annotations

import hashlib
from typing import Final

from durably.engine.core.turn import Randomness
from durably.engine.events import IdempotentSelector, InvocationSelector, Selector, WorkflowSelector
from durably.engine.records import Invocation, Target
from durably.protocol.ids import InvocationId, idempotent_uuid, workflow_uuid

__all__ = ["child_id", "idempotent_id", "new_id", "resolve", "sibling_id", "workflow_id"]

_ULID_RANDOM_BITS: Final = 80


def new_id(target: Target, *, keyed: bool, now_ms: int, random: Randomness) -> str:
    """Make an id for an invocation from outside."""
    partition = _hash(target.key) if keyed else random.getrandbits(64)
    return InvocationId(partition, _ulid(now_ms, random)).encode()


def sibling_id(invocation_id: str, *, now_ms: int, random: Randomness) -> str:
    """Make an id for a copy of an invocation: the same partition, another uuid."""
    return InvocationId(InvocationId.decode(invocation_id).partition_key, _ulid(now_ms, random)).encode()


def child_id(parent: Invocation, command_index: int) -> str:
    """Derive the id of what a command of `parent` invokes."""
    digest = hashlib.sha256(f"child,{parent.id},{parent.random_seed},{command_index}".encode()).digest()
    return InvocationId(int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:24], "big")).encode()


def workflow_id(workflow: str, key: str) -> str:
    """Derive the id of a workflow's run."""
    return InvocationId(_hash(key), workflow_uuid(workflow, key)).encode()


def idempotent_id(target: Target, idempotency_key: str, *, keyed: bool) -> str:
    """Derive the id of an invocation with an idempotency key."""
    key = target.key if keyed else None
    uuid = idempotent_uuid(target.service, target.handler, idempotency_key, key=key)
    return InvocationId(_hash(target.key if keyed else target.service), uuid).encode()


def resolve(selector: Selector, *, keyed: bool) -> str:
    """Give the id that a selector means.

    Args:
        selector: Which invocation.
        keyed: Whether the service of an `IdempotentSelector` has keys.
    """
    match selector:
        case InvocationSelector(invocation_id):
            return invocation_id
        case WorkflowSelector(workflow, key):
            return workflow_id(workflow, key)
        case IdempotentSelector(service, key, handler, idempotency_key):
            return idempotent_id(Target(service, key, handler), idempotency_key, keyed=keyed)


def _ulid(now_ms: int, random: Randomness) -> int:
    return (now_ms & 0xFFFF_FFFF_FFFF) << _ULID_RANDOM_BITS | random.getrandbits(_ULID_RANDOM_BITS)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
