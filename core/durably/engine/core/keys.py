"""Objects: one exclusive handler for a key at a time, in the order of arrival.

Rules

1. The lock of a key belongs to an invocation from its first attempt until it has completed: while it
   is suspended, backs off or is paused it keeps it.
2. Who comes while the lock is taken waits in the key's inbox. A free lock means an empty inbox.
3. Edits of the state from outside wait there too, and are done in their turn.
4. Shared handlers, workflows and plain services know neither lock nor inbox.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from durably.engine.core.turn import Turn
from durably.engine.records import Invocation, StateEdit, Status, TargetKind

__all__ = ["edit_state", "enter", "leave", "state_version"]


def enter(turn: Turn, invocation: Invocation) -> None:
    """Start an invocation, or queue it behind the one that holds its key."""
    if invocation.kind is TargetKind.EXCLUSIVE:
        service, key = invocation.service, invocation.key
        if turn.tx.lock_holder(service, key) is not None:
            invocation.inboxed_at = turn.now_ms
            turn.move(invocation, Status.INBOXED)
            turn.flush()
            turn.tx.push_inbox(service, key, invocation.id, None, turn.now_ms)
            return
        turn.tx.put_lock(service, key, invocation.id)
    turn.activate(invocation)


def leave(turn: Turn, invocation: Invocation) -> None:
    """Give the key of a completing invocation to the next, or take it out of the queue. Its status is still the old."""
    if invocation.kind is not TargetKind.EXCLUSIVE or invocation.status is Status.SCHEDULED:
        return
    if invocation.status is Status.INBOXED:
        turn.tx.delete_from_inbox(invocation.id)
        return
    service, key = invocation.service, invocation.key
    while (item := turn.tx.inbox_head(service, key)) is not None:
        turn.tx.delete_inbox_item(item.sequence)
        if item.edit is not None:
            _apply_edit(turn, service, key, item.edit)
            continue
        following = None if item.invocation_id is None else turn.invocation(item.invocation_id)
        if following is not None:
            turn.tx.put_lock(service, key, following.id)
            turn.activate(following)
            return
    turn.tx.delete_lock(service, key)


def edit_state(turn: Turn, service: str, key: str, edit: StateEdit) -> None:
    """Replace the state of a key, now or when its lock is free."""
    if turn.tx.lock_holder(service, key) is None:
        _apply_edit(turn, service, key, edit)
    else:
        turn.tx.push_inbox(service, key, None, edit, turn.now_ms)


def state_version(state: Iterable[tuple[bytes, bytes]]) -> str:
    """Give a fingerprint of a key's state, to notice that it changed since it was read.

    Args:
        state: Names and values, sorted by name.
    """
    digest = hashlib.sha256()
    for name, value in state:
        digest.update(b"%d,%d," % (len(name), len(value)))
        digest.update(name)
        digest.update(value)
    return digest.hexdigest()[:32]


def _apply_edit(turn: Turn, service: str, key: str, edit: StateEdit) -> None:
    if edit.version is None or edit.version == state_version(turn.tx.state_items(service, key)):
        turn.tx.replace_state(service, key, edit.new_state)
