"""Running queries: nothing but reading the views, within limits."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from durably.engine.query.runner import QueryError, QueryLimits, run_query
from durably.engine.store.memory import MemoryStore
from durably.engine.store.sqlite import SqliteStore
from tests.engine.query.conftest import Stage

WRITES = [
    "DELETE FROM state",
    "  delete from sys_invocation",
    "INSERT INTO state VALUES (1)",
    "UPDATE sys_service SET public = 0",
    "REPLACE INTO state VALUES (1)",
    "DROP VIEW sys_invocation",
    "CREATE TABLE t (a)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "ALTER TABLE invocations RENAME TO x",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "PRAGMA user_version = 7",
    "PRAGMA query_only = 0",
    "ATTACH DATABASE 'other.db' AS other",
    "BEGIN",
    "COMMIT",
    "SET x = 1",
    "REINDEX",
    "ANALYZE",
    "/* c */ DELETE FROM main.state",
    "-- c\nDELETE FROM main.state",
    "WITH a AS (SELECT 1) DELETE FROM main.state",
    "WITH a AS (SELECT 1) INSERT INTO main.state SELECT * FROM a",
    "EXPLAIN DELETE FROM main.state",
]
ESCAPES = [
    "SELECT * FROM main.invocations",
    "SELECT record FROM main.deployments",
    "SELECT record FROM deployments",
    "SELECT * FROM services",
    "SELECT payload FROM entries",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_temp_master",
    "SELECT sql FROM temp.sqlite_temp_schema",
    "SELECT * FROM pragma_table_info('invocations')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM dbstat",
    "WITH sys_journal AS (SELECT payload AS raw FROM main.entries) SELECT * FROM sys_journal",
    "WITH sys_deployment AS (SELECT record FROM main.deployments) SELECT * FROM sys_deployment",
    "SELECT * FROM (SELECT record FROM main.deployments) AS sys_deployment",
    "SELECT (SELECT record FROM main.deployments) FROM sys_deployment",
    "SELECT id FROM sys_invocation UNION ALL SELECT record FROM main.deployments",
    "SELECT id FROM sys_invocation ORDER BY (SELECT record FROM main.deployments)",
    "SELECT id FROM sys_invocation WHERE EXISTS (SELECT 1 FROM main.deployments WHERE record LIKE '%secret%')",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('x', 'y')",
    "SELECT fts3_tokenizer('x')",
    "SELECT zeroblob(1000000000)",
    "SELECT randomblob(1000000000)",
    "SELECT sqlite_version()",
    "SELECT entry_json(1, x'')",
    "SELECT future_json('', '')",
]
WRONG = [
    "",
    "   ",
    "-- nothing",
    "SELEC",
    "SELECT * FROM nope",
    "SELECT nope FROM sys_invocation",
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM state",
    "SELECT 'unfinished",
    "SELECT ?",
    "SELECT :name",
    "SELECT 1\0",
    "SELECT json_extract('{', '$')",
    "SELECT abs(-9223372036854775808)",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT '" + "x" * 200_000 + "'",
]


@pytest.mark.parametrize("sql", WRITES)
def test_what_writes_is_refused_with_what_to_do(stage: Stage, sql: str) -> None:
    """400, and the text names the views and the way to change something; nothing has changed."""
    before = stage.row("SELECT count(*) AS n FROM state")
    reply = stage.query(sql)
    assert reply.status == 400
    assert "SELECT" in reply.json()["message"]
    assert "sys_invocation" in reply.json()["message"]
    assert stage.row("SELECT count(*) AS n FROM state") == before


@pytest.mark.parametrize("sql", ESCAPES)
def test_nothing_but_the_views_can_be_read(stage: Stage, sql: str) -> None:
    """No table, no schema, no file, no function of the views themselves; common table expressions do not help."""
    reply = stage.query(sql)
    assert reply.status == 400
    assert "v_" not in reply.json()["message"]


@pytest.mark.parametrize("sql", WRONG)
def test_wrong_sql_is_refused_with_the_reason(stage: Stage, sql: str) -> None:
    """400 with a text."""
    reply = stage.query(sql)
    assert reply.status == 400
    assert len(reply.json()["message"]) > 10


@pytest.mark.parametrize(
    "key", ["'; DELETE FROM state; --", 'a"b', "a'b", "%", "\u0000", "\ud7ff", "[x]", "`", "index"]
)
def test_quotes_in_values_are_values(stage: Stage, key: str) -> None:
    """A quoted text is compared, not run."""
    sql = f"SELECT id FROM sys_invocation WHERE target_service_key = '{key.replace(chr(39), chr(39) * 2)}'"
    reply = stage.query(sql)
    assert (reply.status, reply.json()) == (400, reply.json()) if "\0" in key else (200, {"rows": []})


def test_index_is_a_column_only_where_it_is_a_name(stage: Stage) -> None:
    """In texts, comments and quoted names it stays what it is."""
    row = stage.row("SELECT 'index' AS a, \"index\" AS b, /* index */ index AS c FROM sys_journal LIMIT 1 -- index")
    assert row == {"a": "index", "b": 0, "c": 0}


def test_a_query_ends_at_its_limits() -> None:
    """Time, rows and bytes; the engine goes on."""
    store = MemoryStore()
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    many = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 11) SELECT n FROM r"
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"longer than 0\.1 seconds") as refused:
        store.read(lambda reader: run_query(reader, endless, now_ms=0, limits=QueryLimits(seconds=0.1)))
    assert (refused.value.status, time.monotonic() - started < 2) == (503, True)
    with pytest.raises(QueryError, match="10 rows"):
        store.read(lambda reader: run_query(reader, many, now_ms=0, limits=QueryLimits(rows=10)))
    with pytest.raises(QueryError, match="50 bytes"):
        store.read(lambda reader: run_query(reader, many, now_ms=0, limits=QueryLimits(result_bytes=50)))
    rows = store.read(lambda reader: run_query(reader, many, now_ms=0, limits=QueryLimits(rows=11)))
    assert rows.count(b"{") == 12


def test_a_query_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    """Views are temporary: the schema has none, and readers stay read-only."""
    store = SqliteStore(str(tmp_path / "engine.db"))
    try:
        before = store.read(lambda reader: reader.connection.execute("SELECT name FROM sqlite_master").fetchall())
        store.read(lambda reader: run_query(reader, "SELECT * FROM sys_invocation", now_ms=0))
        after = store.read(lambda reader: reader.connection.execute("SELECT name FROM sqlite_master").fetchall())
        assert after == before
        assert store.read(lambda reader: reader.connection.execute("PRAGMA query_only").fetchone()) == (1,)
    finally:
        store.close()


def test_the_names_below_the_views_are_different_each_time(stage: Stage) -> None:
    """Whoever learned one cannot use it."""
    plans = [stage.query("EXPLAIN SELECT id FROM sys_invocation").body for _ in range(2)]
    assert not re.search(rb"v_[0-9a-f]{16}", b"".join(plans))


def test_queries_run_beside_each_other(stage: Stage) -> None:
    """Each has a connection of its own."""

    async def many() -> list[int]:
        from tests.engine.ingress.asgi import post_json

        app = stage.engine.admin_app
        replies = await asyncio.gather(
            *(post_json(app, "/query", {"query": f"SELECT {n} AS n, count(*) FROM sys_invocation"}) for n in range(8))
        )
        return [reply.json()["rows"][0]["n"] for reply in replies]

    assert asyncio.run(many()) == list(range(8))
