"""The oracles find what they are for: each kind of damage, and nothing in a file that is sound."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

import durably
from durably.testing.oracles import (
    CounterAnswer,
    Finding,
    Interval,
    KeyedAnswer,
    ProcessUse,
    check_acknowledged,
    check_chain,
    check_effects,
    check_exclusion,
    check_file,
    check_growth,
    check_idempotency,
    check_image,
    check_quiescent,
    require,
)
from durably.testing.store_images import StoreImage


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in which one invocation has completed, with a step and a sleep, and one of an object waits."""
    work, cell = durably.Service("Work"), durably.VirtualObject("Cell")

    @work.handler()
    async def rest(ctx: durably.Context, text: str) -> str:
        await ctx.run_typed("step", lambda: text)
        await ctx.sleep(timedelta(milliseconds=1))
        return text

    @cell.handler()
    async def wait(ctx: durably.ObjectContext) -> None:
        await ctx.awakeable()[1]

    async def play() -> None:
        async with durably.Engine(f"sqlite:///{tmp_path / 'engine.db'}", services=[work, cell]) as engine:
            await engine.client().service_call(rest, arg="done")
            await engine.client().object_send(wait, key="k", arg=None)
            await engine.client().object_send(wait, key="k", arg=None)

    asyncio.run(play())
    return tmp_path / "engine.db"


def damaged(file: Path, *statements: str) -> StoreImage:
    """Change a file behind the engine's back and read it."""
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        connection.commit()
    return StoreImage.read(file)


def oracles(findings: list[Finding]) -> set[str]:
    """Give which oracles found something."""
    return {finding.oracle for finding in findings}


def test_sound_file_has_no_findings(file: Path) -> None:
    """In a file that an engine wrote nothing is found, but that not everything has ended."""
    image = StoreImage.read(file)
    require(*check_image(image), *check_file(file), *check_growth(image, image))
    assert oracles(check_quiescent(image)) == {"O7", "O12"}
    assert oracles(check_acknowledged(image, image.invocations)) == {"O12"}
    require(*check_acknowledged(image, image.invocations, ended=False))


COMPLETED = "(SELECT number FROM invocations WHERE service = 'Work')"
SLEEP = 0x040C
SLEEP_COMPLETION = 0x800C
OUTPUT = 0x0401


@pytest.mark.parametrize(
    ("oracle", "statement"),
    [
        ("O2", f"DELETE FROM results WHERE number = {COMPLETED}"),
        ("O2", f"UPDATE results SET value = x'00' WHERE number = {COMPLETED}"),
        ("O2", f"DELETE FROM entries WHERE type = {OUTPUT}"),
        ("O3", f"DELETE FROM entries WHERE type = {SLEEP}"),
        ("O7", "DELETE FROM locks"),
        ("O7", "DELETE FROM inbox"),
        ("O7", f"UPDATE locks SET invocation_id = (SELECT id FROM invocations WHERE number = {COMPLETED})"),
        ("O7", f"INSERT INTO timers VALUES ({COMPLETED}, 0, 1, 0)"),
        ("O7", "UPDATE invocations SET status = 'backing-off' WHERE status = 'running' OR status = 'suspended'"),
        ("O9", f"UPDATE entries SET appended_at = 1 WHERE type = {SLEEP_COMPLETION}"),
        ("O9", "UPDATE invocations SET scheduled_start_at = running_at + 10 WHERE service = 'Work'"),
    ],
)
def test_damage_is_found(file: Path, oracle: str, statement: str) -> None:
    """What a defect of the engine could leave behind is found by the oracle that is about it."""
    assert oracle in oracles(check_image(damaged(file, statement)))


def test_lost_and_changed_invocations_are_found(file: Path) -> None:
    """An acknowledged invocation that is gone is O1, a journal that changed is O3, a result that changed is O2."""
    before = StoreImage.read(file)
    changed = damaged(file, f"UPDATE results SET value = x'00' WHERE number = {COMPLETED}")
    assert oracles(check_growth(before, changed)) == {"O2"}
    changed = damaged(file, f"UPDATE entries SET payload = x'' WHERE type = {SLEEP}")
    assert "O3" in oracles(check_growth(before, changed))
    lost = damaged(file, "DELETE FROM invocations WHERE service = 'Work'")
    assert "O1" in oracles(check_acknowledged(lost, before.invocations))


def test_counter_answers_form_a_chain() -> None:
    """A gap is allowed, since answers get lost; an overlap and an order against the time are not."""
    first, second = CounterAnswer("k", 0, 1, 0.0, 1.0), CounterAnswer("k", 1, 2, 0.5, 2.0)
    require(*check_chain([second, first, CounterAnswer("k", 5, 6, 3.0, 4.0), CounterAnswer("other", 0, 1, 0.0, 1.0)]))
    assert oracles(check_chain([first, CounterAnswer("k", 0, 1, 2.0, 3.0)])) == {"O4"}
    assert oracles(check_chain([CounterAnswer("k", 0, 1, 5.0, 6.0), CounterAnswer("k", 1, 2, 1.0, 2.0)])) == {"O4"}


def test_overlaps_of_a_key_are_found() -> None:
    """Two invocations of a key must not overlap; two attempts of one may, and so may two keys."""
    first = Interval("Cell/a", "inv_1", 0.0, 2.0)
    require(*check_exclusion([first, Interval("Cell/b", "inv_2", 1.0, 3.0), Interval("Cell/a", "inv_1", 1.0, 3.0)]))
    assert oracles(check_exclusion([first, Interval("Cell/a", "inv_2", 1.0, 3.0)])) == {"O5"}


def test_repeated_effects_are_found() -> None:
    """A step may run once more for each crash, must have run at all, and is in the outcome once."""
    require(*check_effects(["a", "a", "b"], ["a", "b"], crashes=1))
    for executed, recorded in ((["a", "a", "a"], ["a"]), ([], ["a"]), (["a"], ["a", "a"])):
        assert oracles(check_effects(executed, recorded, crashes=1)) == {"O6"}


def test_changing_answers_are_found() -> None:
    """One idempotency key has one invocation and one body; a body that is not known is not compared."""
    require(*check_idempotency([KeyedAnswer("k", "inv_1", None), KeyedAnswer("k", "inv_1", b"1")]))
    for second in (KeyedAnswer("k", "inv_2", None), KeyedAnswer("k", "inv_1", b"2")):
        assert oracles(check_idempotency([KeyedAnswer("k", "inv_1", b"1"), second])) == {"O8"}


def test_damaged_file_is_found(file: Path) -> None:
    """SQLite's own check of the file is part of the oracles."""
    damaged(file, f"UPDATE entries SET handle = 77 WHERE type = {SLEEP_COMPLETION}")
    require(*check_file(file))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'timers_due'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with file.open("r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * 16)
    with pytest.raises(AssertionError, match="O10"):
        require(*check_file(file))


def test_findings_are_listed_together() -> None:
    """All findings are in one failure, each with its oracle."""
    with pytest.raises(AssertionError, match="O1 inv_1: lost\nO7 locks: held"):
        require(Finding("O1", "inv_1", "lost"), Finding("O7", "locks", "held"))


def test_kept_descriptors_are_found(tmp_path: Path) -> None:
    """What a process holds is compared with what it held before."""
    before = ProcessUse.now()
    require(*before.check(ProcessUse.now()))
    held = [(tmp_path / str(number)).open("w") for number in range(before.descriptors)]
    try:
        assert oracles(before.check(ProcessUse.now())) == {"O11"}
    finally:
        for each in held:
            each.close()
