"""The views: what each shows, on both stores."""

from __future__ import annotations

import contextlib
import re
import sqlite3

import pytest

from durably.engine.ingress.durations import MAX_TIME_MS, rfc_3339_millis
from durably.engine.query.views import VIEWS, time_text
from tests.engine.query.conftest import Stage

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def written_time(moment: object) -> str | None:
    """Give a moment as the views write it."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (at INTEGER)")
        connection.execute("INSERT INTO t VALUES (?)", (moment,))
        return connection.execute(f"SELECT {time_text('t.at')} FROM t").fetchone()[0]


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_every_view_can_be_read(stage: Stage, view: str) -> None:
    """All of its columns, all of its rows."""
    rows = stage.rows(f"SELECT * FROM {view}")
    assert len(rows) == stage.row(f"SELECT count(*) AS n FROM {view}")["n"]


def test_invocations_show_target_status_and_times(stage: Stage) -> None:
    """What was completed, with its result; absent columns are left out."""
    row = stage.row(f"SELECT * FROM sys_invocation WHERE id = '{stage.ids['done']}'")
    assert all(TIME.fullmatch(row[name]) for name in ("created_at", "running_at", "completed_at", "modified_at"))
    shown = ("target", "target_service_name", "target_handler_name", "target_service_ty", "idempotency_key", "status")
    assert [row[name] for name in shown] == ["Probe/greet", "Probe", "greet", "service", "done", "completed"]
    assert (row["completion_result"], row["invoked_by"]) == ("success", "ingress")
    assert (row["completion_retention"], row["journal_size"]) == ("PT86400S", 2)
    assert not {"target_service_key", "scope", "completion_failure", "last_failure", "next_retry_at"} & row.keys()


def test_what_came_later_has_the_higher_sequence(stage: Stage) -> None:
    """So that the newest are found without looking at all; times read alike, wherever SQLite writes them."""
    by_sequence = stage.rows("SELECT id, created_at FROM sys_invocation ORDER BY sequence DESC LIMIT 3")
    by_time = stage.rows("SELECT id, created_at FROM sys_invocation ORDER BY created_at DESC, sequence DESC LIMIT 3")
    assert by_sequence == by_time
    for moment in (0, 999, 1_769_853_600_500, MAX_TIME_MS):
        assert written_time(moment) == rfc_3339_millis(moment)
    assert [written_time(moment) for moment in (-1, MAX_TIME_MS + 1, None, "text", b"bytes")] == [None] * 5


def test_each_status_is_found_by_its_name(stage: Stage) -> None:
    """As operators ask for them."""
    for name, status in (
        ("scheduled", "scheduled"),
        ("queued", "pending"),
        ("sleeping", "running"),
        ("failed", "completed"),
    ):
        rows = stage.rows(f"SELECT id FROM sys_invocation WHERE status = '{status}'")
        assert stage.ids[name] in [row["id"] for row in rows]


def test_failures_and_keys_are_shown(stage: Stage) -> None:
    """Code and text of a failure; a key with a slash as it is."""
    failed = stage.row(
        f"SELECT completion_result, completion_failure FROM sys_invocation WHERE id='{stage.ids['failed']}'"
    )
    assert failed == {"completion_result": "failure", "completion_failure": "[418] boom"}
    sql = f"SELECT target, target_service_key AS key FROM sys_invocation WHERE id='{stage.ids['queued']}'"
    queued = stage.row(sql)
    assert queued == {"target": "Thing/k/1/put", "key": "k/1"}


def test_a_journal_shows_its_entries_in_order(stage: Stage) -> None:
    """`index` needs no quotes; bytes are hexadecimal."""
    columns = "index, entry_type, name, raw_length"
    rows = stage.rows(f"SELECT {columns} FROM sys_journal WHERE id = '{stage.ids['stateful']}' ORDER BY index")
    assert [(row["index"], row["entry_type"]) for row in rows] == [
        (0, "Command: Input"),
        (1, "Command: SetState"),
        (2, "Command: Output"),
    ]
    raw = stage.row(f"SELECT raw FROM sys_journal WHERE id = '{stage.ids['stateful']}' AND \"index\" = 2")["raw"]
    assert bytes.fromhex(raw).endswith(b"42")


def test_locks_queues_and_state_are_shown(stage: Stage) -> None:
    """Who holds a key, who waits for it, and what it keeps; bytes that are no text have no text."""
    held = stage.row("SELECT * FROM sys_keyed_service_status WHERE service_key = 'k/1'")
    assert held == {"service_name": "Thing", "service_key": "k/1", "invocation_id": stage.ids["holding"]}
    queued = stage.row("SELECT service_name, service_key, id FROM sys_inbox")
    assert queued == {"service_name": "Thing", "service_key": "k/1", "id": stage.ids["queued"]}
    state = stage.row("SELECT * FROM state WHERE service_key = '€'")
    expected = {"service_name": "Thing", "service_key": "€", "key": "value", "key_length": 5, "value_length": 2}
    assert state == {**expected, "value": "3432", "value_utf8": "42"}
    assert stage.row("SELECT key, value, value_utf8 FROM state WHERE service_key = 'raw'") == {
        "key": "b",
        "value": "ff00",
    }


def test_services_and_deployments_are_shown(stage: Stage) -> None:
    """Booleans and lists as such."""
    hidden = stage.row("SELECT name, public, ty, revision FROM sys_service WHERE name = 'Hidden'")
    assert hidden == {"name": "Hidden", "public": False, "ty": "service", "revision": 1}
    kinds = {row["name"]: row["ty"] for row in stage.rows("SELECT name, ty FROM sys_service WHERE public")}
    assert kinds == {"Probe": "service", "Thing": "virtual_object", "Flow": "workflow"}
    deployment = stage.row("SELECT * FROM sys_deployment")
    assert sorted(deployment["services"]) == ["Flow", "Hidden", "Probe", "Thing"]
    assert deployment["endpoint"].startswith("inprocess://")


def test_views_can_be_joined_grouped_and_counted(stage: Stage) -> None:
    """As the tools around the real server ask."""
    rows = stage.rows(
        "WITH open AS (SELECT id, target_service_name AS s FROM sys_invocation WHERE status <> 'completed')"
        " SELECT o.s, COUNT(1) AS c, MAX(length(j.raw)) > 0 AS has FROM open o JOIN sys_journal j ON j.id = o.id"
        " GROUP BY 1 ORDER BY c DESC"
    )
    assert {row["s"] for row in rows} == {"Probe", "Thing"}
    assert stage.row("SELECT count(*) FROM sys_invocation")["count(*)"] == len(stage.ids)
    assert stage.row("SELECT count(*) AS n FROM sys_invocation WHERE created_at <= now()")["n"] == len(stage.ids)
