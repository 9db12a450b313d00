"""Running a completed invocation again, as a new one that keeps a part of its journal.

Rules

1. The copy keeps target, input and random seed, but not the idempotency key; workflows cannot be
   restarted, since one key has one run.
2. `from_index` 0 copies the input. A higher one copies the entries up to it, and of those behind it what
   completes the commands that were copied. Each such command must have been completed.
3. With a longer prefix the version is kept too, and must be V6 or later: before, the seed of the
   handler's randomness follows from the id.
4. An output is never copied: the copy would end where the original did.
"""

from __future__ import annotations

from durably.engine.actions import Failed, FailureSource, Restarted
from durably.engine.core import identifiers, keys, lifecycle
from durably.engine.core.turn import Turn
from durably.engine.events import Restart
from durably.engine.records import Handle, Invocation, InvokedBy, JournalEntry, Status, TargetKind
from durably.protocol import messages
from durably.protocol.messages import CLASS_OF, MessageType, is_command
from durably.protocol.versions import ProtocolVersion

__all__ = ["restart"]


def restart(turn: Turn, event: Restart) -> None:
    """Do what an operator asks."""
    original = turn.live(event.invocation_id)
    if original is None:
        lifecycle.refuse(turn, event.reply, lifecycle.NOT_FOUND, event.invocation_id)
        return
    if original.status in (Status.SCHEDULED, Status.INBOXED):
        lifecycle.refuse(turn, event.reply, lifecycle.NOT_STARTED, event.invocation_id)
        return
    if original.status is not Status.COMPLETED:
        lifecycle.refuse(turn, event.reply, lifecycle.NOT_COMPLETED, event.invocation_id)
        return
    if original.kind is TargetKind.WORKFLOW_RUN:
        turn.reply(event.reply, _refusal(422, "A workflow's run cannot be restarted: one key has one run."))
        return
    prefix = _prefix(turn, original, event.from_index)
    if isinstance(prefix, Failed):
        turn.reply(event.reply, prefix)
        return
    copy = _copy_of(turn, original, keep_version=event.from_index > 0)
    chosen = lifecycle.choose(turn, copy, event.deployment)
    if isinstance(chosen, Failed):
        turn.reply(event.reply, chosen)
        return
    if chosen is not None:
        copy.deployment_id = chosen.id
    elif event.deployment == "keep":
        copy.deployment_id = original.deployment_id
    turn.create(copy)
    for entry in prefix:
        turn.append(copy, entry.type, entry.payload, entry.handle, entry.failed)
        copy.command_count += is_command(entry.type)
    keys.enter(turn, copy)
    turn.reply(event.reply, Restarted(copy.id))


def _copy_of(turn: Turn, original: Invocation, *, keep_version: bool) -> Invocation:
    return Invocation(
        id=identifiers.sibling_id(original.id, now_ms=turn.now_ms, random=turn.random),
        service=original.service,
        key=original.key,
        handler=original.handler,
        kind=original.kind,
        scope=original.scope,
        limit_key=original.limit_key,
        invoked_by=InvokedBy.RESTART,
        parent_id=original.id,
        parent_target="",
        created_at=turn.now_ms,
        modified_at=turn.now_ms,
        random_seed=original.random_seed,
        journal_retention_ms=original.journal_retention_ms,
        completion_retention_ms=original.journal_retention_ms,
        status=Status.SCHEDULED,
        protocol_version=original.protocol_version if keep_version else None,
    )


def _prefix(turn: Turn, original: Invocation, from_index: int) -> list[JournalEntry] | Failed:
    journal = turn.tx.entries(original.id)
    if not journal:
        return _refusal(410, f"The journal of invocation {original.id} is not kept any more.")
    if not 0 <= from_index < len(journal):
        return _refusal(400, f"The journal of invocation {original.id} has {len(journal)} entries.")
    if from_index == 0:
        return journal[:1]
    if original.protocol_version is None or original.protocol_version < ProtocolVersion.V6:
        return _refusal(400, "Restarting amid the journal needs service protocol V6.")
    prefix = [entry for entry in journal[: from_index + 1] if entry.type != MessageType.OUTPUT]
    expected = {handle for entry in prefix for handle in _completions_of(entry)}
    missing = expected - {entry.handle for entry in prefix}
    for entry in journal[from_index + 1 :]:
        if entry.handle in missing:
            missing.discard(entry.handle)
            prefix.append(entry)
    if missing:
        return _refusal(400, f"A command up to index {from_index} was never completed; restart from an earlier one.")
    return prefix


def _completions_of(entry: JournalEntry) -> list[Handle]:
    """Give the completions that a command asks for."""
    if not is_command(entry.type):
        return []
    command = messages.parse(CLASS_OF[entry.type], entry.payload)
    fields = command.DESCRIPTOR.fields_by_name
    names = ("invocation_id_notification_idx", "result_completion_id")
    return [getattr(command, name) for name in names if name in fields]


def _refusal(code: int, message: str) -> Failed:
    return Failed(code, message, source=FailureSource.ADMIN)
