"""A row that is damaged spoils itself: every other row, and every other column, is shown."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import durably
from durably.engine.engine import Engine
from durably.engine.query.runner import run_query
from durably.engine.query.views import VIEWS
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreCorruptError
from tests.engine.ingress.asgi import JSON, request
from tests.engine.ingress.probe import SERVICES

DAMAGE = [
    "UPDATE entries SET payload = x'ff00ff' WHERE type = 1025",
    "UPDATE entries SET payload = 'no bytes' WHERE type = 1025",
    "UPDATE entries SET type = 31337 WHERE type = 1024",
    "UPDATE invocations SET details = '{'",
    "UPDATE invocations SET details = '[]'",
    'UPDATE invocations SET details = \'{"failure": 7, "suspended_on": "zz", "awaiting_on": 1}\'',
    "UPDATE invocations SET details = CAST(x'ff' AS TEXT)",
    "UPDATE invocations SET idempotency_key = CAST(x'ff' AS TEXT)",
    "UPDATE invocations SET created_at = 'never', journal_retention_ms = 'long'",
    "UPDATE invocations SET running_at = 9223372036854775807",
    "UPDATE results SET failure = 'x', value = NULL",
    "UPDATE results SET failure = '[1]', value = NULL",
    "UPDATE state SET name = x'ff', value = x'ff'",
    "UPDATE deployments SET record = '{'",
    'UPDATE deployments SET record = \'{"uri": [1], "created_at": "x"}\'',
    "UPDATE services SET record = 'null'",
    "UPDATE promises SET failure = 'x', value = NULL",
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of an engine that ran a few handlers and stopped."""
    path = tmp_path / "engine.db"
    with Engine(f"sqlite:///{path}", SERVICES) as engine:
        for target, body in (("/Probe/greet", b'"Bob"'), ("/Probe/fail", b"418"), ("/Thing/a/put", b"1")):
            asyncio.run(request(engine.ingress_app, "POST", target, {**JSON, "idempotency-key": "k"}, body))
        asyncio.run(request(engine.ingress_app, "POST", "/Flow/w/run", JSON, b'"a"'))
    return path


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_spoils_no_query(file: Path, damage: str) -> None:
    """Each view has as many rows as before, and shows them as JSON."""
    counts = {view: len(rows_of(file, view)) for view in VIEWS}
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute("PRAGMA foreign_keys = 0")
        connection.execute(damage)
        connection.commit()
    assert {view: len(rows_of(file, view)) for view in VIEWS} == counts


def test_what_is_damaged_says_so(file: Path) -> None:
    """In the columns that are texts for people."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE results SET failure = 'x', value = NULL WHERE failure IS NOT NULL")
        connection.execute("UPDATE entries SET payload = x'ff00ff' WHERE type = 1025")
        connection.execute("UPDATE invocations SET details = '{'")
        connection.commit()
    invocations = rows_of(file, "sys_invocation")
    assert any("damaged" in row.get("completion_failure", "") for row in invocations)
    assert all("damaged" in row["last_failure"] for row in invocations)
    assert any("Unreadable" in row["entry_json"] for row in rows_of(file, "sys_journal"))


def rows_of(file: Path, view: str) -> list[dict[str, Any]]:
    """Ask for everything that a view has."""
    store = SqliteStore(str(file))
    try:
        found: bytes = store.read(lambda reader: run_query(reader, f"SELECT * FROM {view}", now_ms=0))
    finally:
        store.close()
    rows: list[dict[str, Any]] = json.loads(found)["rows"]
    return rows


worker = durably.Service("Worker")


@worker.handler()
async def work(ctx: durably.Context, number: int) -> int:
    """Take a step and sleep for a moment."""
    await ctx.run_typed("step", lambda: number)
    await ctx.sleep(timedelta(milliseconds=150))
    return number


@pytest.mark.parametrize(
    ("damage", "is_told"),
    [
        ("UPDATE entries SET payload = x'ff00ff' WHERE type NOT IN (1024, 1025)", True),
        ("UPDATE entries SET payload = x'ff' WHERE type = 1024", True),
        ("UPDATE invocations SET details = '{'", False),
        ("UPDATE invocations SET details = '[]'", False),
        ("UPDATE results SET failure = 'x', value = NULL", False),
    ],
)
def test_a_damaged_invocation_holds_up_no_other(tmp_path: Path, damage: str, is_told: bool) -> None:
    """An engine that finds it goes on with all others, timers too; operators see why that one does not."""
    file = tmp_path / "engine.db"

    async def begin() -> None:
        async with Engine(f"sqlite:///{file}", [worker]) as engine:
            await engine.client().send(work, 1)
            await asyncio.sleep(0.05)

    async def go_on() -> None:
        async with Engine(f"sqlite:///{file}", [worker]) as engine:
            async with asyncio.timeout(10):
                assert await engine.client().call(work, 2) == 2
            for target in ("/deployments", "/services", "/services/Worker"):
                assert (await request(engine.admin_app, "GET", target)).status == 200

    asyncio.run(begin())
    change(file, damage)
    asyncio.run(go_on())
    told = [row.get("last_failure", "") for row in rows_of(file, "sys_invocation")]
    assert any("cannot be decoded" in text for text in told) == is_told


@pytest.mark.parametrize("table", ["deployments", "services"])
@pytest.mark.parametrize("record", ["{", "[]", "{}", "null"])
def test_a_damaged_registration_is_an_error_that_says_so(file: Path, table: str, record: str) -> None:
    """An engine does not start without knowing its services."""
    change(file, f"UPDATE {table} SET record = '{record}'")
    with pytest.raises(StoreCorruptError, match="is damaged"), Engine(f"sqlite:///{file}", SERVICES):
        pass


def change(file: Path, sql: str) -> None:
    """Damage a file that nobody uses."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
        connection.commit()
