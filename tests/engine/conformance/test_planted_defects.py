"""Defects that are planted in the engine on purpose: the oracles, or one of a few requests, find each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from durably.engine.core import (
    attempts,
    completion,
    failures,
    identifiers,
    keys,
    lifecycle,
    promises,
    timers,
    waking,
)
from durably.engine.records import CANCEL_SIGNAL, InvokedBy
from durably.engine.store.sqlite import SqliteStore
from durably.engine.store.sqlite_reads import SqliteReader
from durably.engine.store.sqlite_writes import SqliteTransaction
from durably.testing.oracles import Finding
from tests.engine.suite.checkup import check_up

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
DEFECTS: dict[str, Plant] = {}


def defect(plant: Plant) -> Plant:
    """List a defect."""
    DEFECTS[plant.__name__] = plant
    return plant


@defect
def acknowledged_though_not_stored(patch: Patch) -> None:
    """The fifth invocation is acknowledged, and its commit is none."""
    inserted = 0
    insert, commit = SqliteTransaction.insert_invocation, SqliteStore.commit

    def inserting(transaction: Any, invocation: Any) -> None:
        nonlocal inserted
        inserted += 1
        insert(transaction, invocation)

    def forgetful(store: Any) -> None:
        nonlocal inserted
        if inserted == 5:
            inserted += 1
            store.rollback()
            return
        commit(store)

    patch.setattr(SqliteTransaction, "insert_invocation", inserting)
    patch.setattr(SqliteStore, "commit", forgetful)


@defect
def lock_kept_after_a_kill(patch: Patch) -> None:
    """The key of a killed invocation stays taken."""
    complete = completion.complete

    def keeping(turn: Any, invocation: Any, result: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(keys, "leave", lambda turn, invocation: None)
            complete(turn, invocation, result)

    patch.setattr(lifecycle, "complete", keeping)


@defect
def notification_stored_twice(patch: Patch) -> None:
    """The end of a timer is notified again."""
    complete_command = waking.complete_command

    def twice(*arguments: Any, **named: Any) -> None:
        complete_command(*arguments, **named)
        complete_command(*arguments, **named)

    patch.setattr(timers, "complete_command", twice)


@defect
def retries_never_used_up(patch: Patch) -> None:
    """Each failed attempt is the first."""
    fail = failures.fail

    def forgetful(turn: Any, invocation: Any, failure: Any) -> None:
        invocation.retry_count = 0
        fail(turn, invocation, failure)

    patch.setattr(attempts, "fail", forgetful)


@defect
def timer_fired_early(patch: Patch) -> None:
    """Whoever looks for due timers finds those of the next second too."""
    due_timers = SqliteReader.due_timers

    def early(reader: Any, now_ms: int, limit: int) -> Any:
        return due_timers(reader, now_ms + 1000, limit)

    patch.setattr(SqliteReader, "due_timers", early)


@defect
def idempotency_key_ignored(patch: Patch) -> None:
    """Every request makes an invocation."""
    numbers = iter(range(1_000_000))
    idempotent_id = identifiers.idempotent_id

    def other(target: Any, key: str, *, keyed: bool) -> str:
        return idempotent_id(target, f"{key}-{next(numbers)}", keyed=keyed)

    patch.setattr(identifiers, "idempotent_id", other)


@defect
def inbox_reversed(patch: Patch) -> None:
    """Who came last is next."""

    def last(reader: Any, service: str, key: str) -> Any:
        from durably.engine.store.rows import inbox_item_of
        from durably.engine.store.statements import SQL

        sql = SQL["inbox_head"].replace("ORDER BY sequence", "ORDER BY sequence DESC")
        assert sql != SQL["inbox_head"]
        row = reader.connection.execute(sql, (service, key)).fetchone()
        return None if row is None else inbox_item_of(row)

    patch.setattr(SqliteReader, "inbox_head", last)


@defect
def inbox_not_waited_for(patch: Patch) -> None:
    """A key is free for everybody."""
    enter = keys.enter

    def at_once(turn: Any, invocation: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(type(turn.tx), "lock_holder", lambda tx, service, key: None)
            enter(turn, invocation)

    patch.setattr(keys, "enter", at_once)


@defect
def result_not_stored(patch: Patch) -> None:
    """An invocation completes, its caller is answered, and its result is forgotten."""
    complete = completion.complete

    def forgetful(turn: Any, invocation: Any, result: Any) -> None:
        complete(turn, invocation, result)
        turn.flush()
        turn.tx.connection.execute(
            "DELETE FROM results WHERE number = (SELECT number FROM invocations WHERE id = ?)", (invocation.id,)
        )

    patch.setattr(attempts, "complete", forgetful)


@defect
def promise_completed_twice(patch: Patch) -> None:
    """A second completion replaces the first."""
    complete = promises.complete

    def again(turn: Any, invocation: Any, command: Any, result: Any) -> None:
        turn.tx.delete_promises(invocation.service, invocation.key)
        complete(turn, invocation, command, result)

    patch.setattr(promises, "complete", again)


@defect
def cancellation_not_passed_on(patch: Patch) -> None:
    """A child never hears that its parent was cancelled."""
    send_signal = waking.send_signal

    def deaf(turn: Any, invocation: Any, handle: Any, *rest: Any, **named: Any) -> None:
        if handle != -CANCEL_SIGNAL or invocation.invoked_by is not InvokedBy.SERVICE:
            send_signal(turn, invocation, handle, *rest, **named)

    patch.setattr(lifecycle, "send_signal", deaf)


@defect
def children_survive_a_kill(patch: Patch) -> None:
    """What a killed invocation called goes on, for nobody."""
    kill = lifecycle.kill

    def alone(turn: Any, invocation: Any) -> None:
        invocation.has_children = False
        kill(turn, invocation)

    patch.setattr(lifecycle, "kill", alone)


@defect
def waiter_forgotten(patch: Patch) -> None:
    """A caller is never told that its call has ended."""
    patch.setattr(completion, "_tell", lambda turn, invocation, result: None)


@defect
def suspended_though_decided(patch: Patch) -> None:
    """What came while a handler suspended wakes nobody."""
    patch.setattr(attempts, "is_decided", lambda turn, invocation, future: False)
    patch.setattr(waking, "is_decided", lambda turn, invocation, future: False)


def test_a_sound_engine_has_no_findings(tmp_path: Path) -> None:
    """So that what is found below is found because of the defect."""
    assert asyncio.run(check_up(tmp_path / "engine.db")) == []


@pytest.mark.parametrize("plant", DEFECTS.values(), ids=DEFECTS)
def test_a_planted_defect_is_found(plant: Plant, tmp_path: Path, monkeypatch: Patch) -> None:
    """By an oracle on the file, by an answer, or because the engine itself refuses to go on."""
    plant(monkeypatch)
    try:
        findings = asyncio.run(check_up(tmp_path / "engine.db"))
    except Exception as error:
        findings = [Finding("engine", "check-up", repr(error))]
    assert findings
