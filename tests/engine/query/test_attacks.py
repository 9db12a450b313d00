"""Queries that are made to take everything: time, memory, disk, or the threads of others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from durably.engine.engine import Engine
from durably.engine.query.runner import QueryError, QueryLimits, run_query
from durably.engine.store.memory import MemoryStore
from tests.engine.ingress.asgi import JSON, post_json, request
from tests.engine.ingress.probe import SERVICES

LIMITS = QueryLimits(seconds=0.3, space_bytes=64 * 1024 * 1024)
NUMBERS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
WIDE = "x" * 20_000
ATTACKS = {
    "endless": NUMBERS + "SELECT count(*) FROM r",
    "endless and sorted": NUMBERS + "SELECT n FROM r ORDER BY -n",
    "endless and distinct": "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "endless and grouped": NUMBERS + "SELECT n, count(*) FROM r GROUP BY -n",
    "endless and numbered": NUMBERS + "SELECT row_number() OVER (ORDER BY -n) FROM r",
    "endless and wide": NUMBERS + f"SELECT '{WIDE}' || n AS w FROM r ORDER BY w",
    "endless and collected": NUMBERS + f"SELECT group_concat('{WIDE}' || n) FROM r",
    "endless as an array": NUMBERS + f"SELECT json_group_array('{WIDE}' || n) FROM r",
    "doubling": "WITH RECURSIVE r(n) AS (SELECT 'x' UNION ALL SELECT n || n FROM r) SELECT max(length(n)) FROM r",
    "doubling as hex": "WITH RECURSIVE r(n) AS (SELECT 'x' UNION ALL SELECT hex(n) FROM r) SELECT max(n) FROM r",
    "replacing each by many": f"SELECT length(replace('{WIDE}', 'x', '{WIDE}'))",
    "a width": "SELECT printf('%1000000000d', 1)",
    "a product": "SELECT count(*) FROM " + ", ".join(f"json_each('[1,2,3,4,5,6,7,8,9]') t{n}" for n in range(12)),
    "backtracking": f"SELECT '{WIDE}' GLOB '{'*x' * 20}*y'",
    "a long pattern": f"SELECT '{WIDE}' LIKE '{'%x' * 1000}%y'",
    "many columns": "SELECT " + ", ".join(f"'{WIDE[:100]}' AS c{n}" for n in range(300)),
    "many arguments": "SELECT max(" + ", ".join("1" * 50) + ")",
    "deep json": "SELECT json_extract(replace(hex(hex(hex('aaaaaaaaaaaaaaaaaa'))), '3', '['), '$')",
}
PATIENT = [
    "SELECT '{WIDE}' LIKE '{MANY}y'",
    "SELECT instr('{WIDE}', '{WIDE}y')",
    "SELECT trim('{WIDE}', 'xyz')",
    "SELECT '{WIDE}' LIKE '%" + "_" * 900 + "y%'",
]


@pytest.mark.parametrize("sql", ATTACKS.values(), ids=ATTACKS)
def test_a_query_cannot_take_everything(sql: str) -> None:
    """It ends with a reason, soon after its time at the latest, and what it took is given back."""
    store = MemoryStore()
    started = time.monotonic()
    with pytest.raises(QueryError) as refused:
        store.read(lambda reader: run_query(reader, sql, now_ms=0, limits=LIMITS))
    assert refused.value.status in (400, 503)
    assert len(refused.value.message) > 10
    assert time.monotonic() - started < LIMITS.seconds * 10


@pytest.mark.parametrize("sql", PATIENT)
def test_functions_take_time_by_the_length_of_texts_only(sql: str) -> None:
    """With SQLite's own functions these would go back and forth for longer than anybody lives."""
    store = MemoryStore()
    text = sql.format(WIDE=WIDE, MANY="%x" * 200)
    assert store.read(lambda reader: run_query(reader, text, now_ms=0, limits=QueryLimits(seconds=30))).count(b"{") == 2


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_long_queries_hold_nobody_up(kind: str, tmp_path: Path) -> None:
    """While more of them run and wait than there are threads, requests are answered as always."""
    endless = ATTACKS["endless"]

    async def play(engine: Engine) -> list[int]:
        app = engine.admin_app
        queries = [asyncio.ensure_future(post_json(app, "/query", {"query": endless})) for _ in range(5)]
        await asyncio.sleep(0.05)
        statuses: list[int] = []
        for number in range(5):
            reply = await request(engine.ingress_app, "POST", "/Thing/beside/put", JSON, str(number).encode())
            listed = await request(app, "GET", "/deployments")
            statuses += [reply.status, listed.status]
        assert not any(query.done() for query in queries)
        for query in queries:
            query.cancel()
        await asyncio.gather(*queries, return_exceptions=True)
        return statuses

    started = time.monotonic()
    with Engine("memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'engine.db'}", SERVICES) as engine:
        assert asyncio.run(asyncio.wait_for(play(engine), 8)) == [200] * 10
    assert time.monotonic() - started < 8  # queries end after ten seconds
