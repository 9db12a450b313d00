"""What must be true of a world when everything has come to its end."""

from __future__ import annotations

import json
from collections import Counter

from durably.engine.actions import Failed, Success
from durably.engine.records import InvokedBy, Status
from durably.protocol import messages
from durably.protocol.messages import MessageType, is_command
from tests.engine.core.world import World

__all__ = ["check"]

ALREADY_INVOKED = "the workflow method was already invoked"


def check(world: World) -> None:
    """Check all that a finished world must satisfy."""
    _check_acknowledged(world)
    _check_journals(world)
    _check_nothing_is_left(world)
    _check_outcomes(world)
    _check_counts(world)


def _check_acknowledged(world: World) -> None:
    """What was acknowledged is there and has ended."""
    for invocation_id in world.acked - world.purged:
        invocation = world.invocation(invocation_id)
        assert invocation is not None, f"{invocation_id} was acknowledged and is gone"
        assert invocation.status is Status.COMPLETED
        assert world.store.read(lambda reader, of=invocation_id: reader.result(of)) is not None


def _check_journals(world: World) -> None:
    """Each journal has one input, at most one output, and one result for each step and completion."""
    for row in world.store._rows.invocations:
        invocation = row.invocation
        entries = world.store.read(lambda reader, of=invocation.id: reader.entries(of))
        if not entries:
            continue
        types = [entry.type for entry in entries]
        assert types[0] == MessageType.INPUT
        assert types.count(MessageType.INPUT) == 1
        assert types.count(MessageType.OUTPUT) <= 1
        assert len(entries) == invocation.journal_length
        assert sum(map(is_command, types)) == invocation.command_count
        completions = Counter(entry.handle for entry in entries if isinstance(entry.handle, int) and entry.handle > 0)
        assert all(count == 1 for count in completions.values()), f"{invocation.id} has two results for one command"
        if invocation.invoked_by is InvokedBy.RESTART:
            continue
        for entry in entries:
            if entry.type == MessageType.RUN_COMPLETION:
                value = json.loads(messages.Notification.FromString(entry.payload).value.content)
                assert value[:2] == [invocation.id, entry.handle]
                assert 1 <= value[2] <= world.executions[invocation.id, entry.handle]


def _check_nothing_is_left(world: World) -> None:
    """No lock, place in a queue, timer or waiter is left without one to whom it belongs."""
    rows = world.store._rows
    assert not rows.locks
    assert not list(rows.inbox)
    assert not list(rows.timers)
    assert not list(rows.waiters)
    assert not list(rows.promise_waiters)
    assert not world.live
    assert not any(world._awaits.values()), "a request was never answered"


def _check_outcomes(world: World) -> None:
    """Whoever asked about an invocation got the same answer, and it is the stored one."""
    by_id: dict[str, set[tuple[object, ...]]] = {}
    for outcome in world.answers.values():
        if isinstance(outcome, Success):
            by_id.setdefault(outcome.invocation_id, set()).add((outcome.value,))
        elif isinstance(outcome, Failed) and outcome.invocation_id is not None and outcome.message != ALREADY_INVOKED:
            by_id.setdefault(outcome.invocation_id, set()).add((outcome.code, outcome.message))
    for invocation_id, answers in by_id.items():
        assert len(answers) == 1 or invocation_id in world.purged, f"{invocation_id} gave different answers"


def _check_counts(world: World) -> None:
    """No increment of an object's counter was lost or done twice."""
    written: dict[tuple[str, str], list[int]] = {}
    for row in world.store._rows.invocations:
        invocation = row.invocation
        if invocation.service != "Counter" or invocation.invoked_by is InvokedBy.RESTART:
            continue
        for entry in world.store.read(lambda reader, of=invocation.id: reader.entries(of)):
            if entry.type == MessageType.SET_STATE:
                command = messages.SetStateCommand.FromString(entry.payload)
                if command.key == b"count":
                    key = (invocation.service, invocation.key)
                    written.setdefault(key, []).append(int(command.value.content))
    for counts in written.values():
        assert len(set(counts)) == len(counts), "an increment was lost"
