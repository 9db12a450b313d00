"""The views that operators query, and the tables behind them.

Owns the columns: names as in a Restate Server's introspection, as far as the engine has them, and `sequence` of an
invocation, which grows with each: what is ordered by that is read from one end. Absent values are NULL, and are left
out of the answer's rows.

    kind of value   in a view
    --------------  -----------------------------------------------
    time            text `2026-01-31T10:00:00.500Z`; sorts and compares as text
    duration        text `PT86400S`
    boolean         0 and 1; true and false in rows
    list            JSON text; a list in rows
    bytes           BLOB; hexadecimal in rows

Source: introspection tables of Restate Server 1.7, observed; the schema of our store.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from durably.engine.ingress.durations import MAX_TIME_MS

__all__ = ["BOOLEANS", "LISTS", "VIEWS", "time_text"]

BOOLEANS: Final = frozenset(("completed", "in_flight", "public"))
"""Columns whose 0 and 1 mean false and true."""

LISTS: Final = frozenset(("services", "suspended_waiting_for_completions", "suspended_waiting_for_signals"))
"""Columns whose text is a JSON list."""


def time_text(column: str) -> str:
    """Write a column of milliseconds as text, by SQLite itself: a list that is sorted by a time has to do it often."""
    moment = f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')"
    return f"CASE WHEN {column} BETWEEN 0 AND {MAX_TIME_MS} THEN {moment} END"


_STATUS: Final = f"""
    i.id AS id,
    i.number AS sequence,
    CAST(NULL AS TEXT) AS vqueue_id,
    CASE i.kind WHEN 'service' THEN i.service || '/' || i.handler
        ELSE i.service || '/' || i.key || '/' || i.handler END AS target,
    i.service AS target_service_name,
    CASE i.kind WHEN 'service' THEN NULL ELSE i.key END AS target_service_key,
    i.handler AS target_handler_name,
    CASE i.kind WHEN 'service' THEN 'service' WHEN 'exclusive' THEN 'virtual_object'
        WHEN 'shared' THEN 'virtual_object' ELSE 'workflow' END AS target_service_ty,
    i.scope AS scope,
    i.limit_key AS limit_key,
    i.idempotency_key AS idempotency_key,
    i.invoked_by AS invoked_by,
    CASE i.invoked_by WHEN 'service' THEN service_of_target(i.parent_target) END AS invoked_by_service_name,
    CASE i.invoked_by WHEN 'service' THEN i.parent_id END AS invoked_by_id,
    CAST(NULL AS TEXT) AS invoked_by_subscription_id,
    CASE i.invoked_by WHEN 'service' THEN i.parent_target END AS invoked_by_target,
    CASE i.invoked_by WHEN 'restart_as_new' THEN i.parent_id END AS restarted_from,
    NULLIF(i.deployment_id, '') AS pinned_deployment_id,
    NULLIF(i.protocol_version, -1) AS pinned_service_protocol_version,
    CAST(NULL AS TEXT) AS trace_id,
    CASE WHEN i.status = 'running' THEN i.journal_length + (
        SELECT count(*) FROM main.entries AS e
        WHERE e.position >= (i.number << 20) + i.journal_length AND e.position < (i.number + 1) << 20
    ) WHEN i.running_at >= 0 THEN i.journal_length END AS journal_size,
    CASE WHEN i.status = 'running' THEN i.command_count + (
        SELECT count(*) FROM main.entries AS e
        WHERE e.position >= (i.number << 20) + i.journal_length AND e.position < (i.number + 1) << 20
            AND e.handle IS NULL
    ) WHEN i.running_at >= 0 THEN i.command_count END AS journal_commands_size,
    {time_text("i.created_at")} AS created_at,
    CAST(NULL AS TEXT) AS created_using_restate_version,
    {time_text("i.modified_at")} AS modified_at,
    {time_text("i.inboxed_at")} AS inboxed_at,
    CASE WHEN i.scheduled_start_at IS NOT NULL THEN {time_text("i.created_at")} END AS scheduled_at,
    {time_text("i.scheduled_start_at")} AS scheduled_start_at,
    {time_text("i.running_at")} AS running_at,
    {time_text("i.completed_at")} AS completed_at,
    iso_duration(i.completion_retention_ms) AS completion_retention,
    iso_duration(i.journal_retention_ms) AS journal_retention,
    CASE i.status WHEN 'suspended' THEN awaited_completions(CAST(i.details AS BLOB)) END
        AS suspended_waiting_for_completions,
    CASE i.status WHEN 'suspended' THEN awaited_signals(CAST(i.details AS BLOB)) END
        AS suspended_waiting_for_signals,
    CASE i.status WHEN 'suspended' THEN future_json(CAST(i.details AS BLOB), 'suspended_on') END
        AS suspended_waiting_future_json"""  # noqa: S608 -- of columns that are named here

_ATTEMPTS: Final = f"""
    CASE WHEN i.attempt > 0 THEN i.retry_count + (i.status = 'running') END AS retry_count,
    {time_text("i.attempt_started_at")} AS last_start_at,
    {time_text("i.next_retry_at")} AS next_retry_at,
    NULLIF(i.attempt_deployment_id, '') AS last_attempt_deployment_id,
    NULLIF(i.attempt_server, '') AS last_attempt_server,
    failure_field(CAST(i.details AS BLOB), 'text') AS last_failure,
    failure_field(CAST(i.details AS BLOB), 'doc_code') AS last_failure_error_code,
    CAST(NULL AS INTEGER) AS last_failure_related_entry_index,
    CAST(NULL AS TEXT) AS last_failure_related_entry_name,
    CAST(NULL AS TEXT) AS last_failure_related_entry_type,
    failure_field(CAST(i.details AS BLOB), 'command_index') AS last_failure_related_command_index,
    failure_field(CAST(i.details AS BLOB), 'command_name') AS last_failure_related_command_name,
    failure_field(CAST(i.details AS BLOB), 'command_type') AS last_failure_related_command_type,
    future_json(CAST(i.details AS BLOB), 'awaiting_on') AS last_awaiting_on_future_json"""

_COMPLETION: Final = """
    i.status AS status,
    CASE i.status WHEN 'completed' THEN CASE WHEN r.failure IS NULL THEN 'success' ELSE 'failure' END END
        AS completion_result,
    failure_text(CAST(r.failure AS BLOB)) AS completion_failure"""

_RUNNING: Final = "i.id AS id, i.status = 'running' AS in_flight"
_HAS_ATTEMPTS: Final = "i.attempt > 0 AND i.status <> 'completed'"
_LIVE: Final = f"FROM main.invocations i WHERE {_HAS_ATTEMPTS}"
_INVOCATIONS: Final = "FROM main.invocations i LEFT JOIN main.results r ON r.number = i.number"

VIEWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sys_invocation": f"SELECT {_STATUS}, {_ATTEMPTS}, {_COMPLETION} {_INVOCATIONS}",
        "sys_invocation_status": f"SELECT {_STATUS}, {_COMPLETION} {_INVOCATIONS}",
        "sys_invocation_state": f"SELECT {_RUNNING}, {_ATTEMPTS} {_LIVE}",
        "sys_journal": """SELECT
            i.id AS id,
            e.position - i.number * 1048576 AS "index",
            entry_type(e.type) AS entry_type,
            entry_name(e.type, CAST(e.payload AS BLOB)) AS name,
            CAST(NULL AS INTEGER) AS completed,
            CAST(NULL AS TEXT) AS invoked_id,
            CAST(NULL AS TEXT) AS invoked_target,
            CAST(NULL AS TEXT) AS sleep_wakeup_at,
            CAST(NULL AS TEXT) AS promise_name,
            e.payload AS raw,
            length(e.payload) AS raw_length,
            2 AS version,
            entry_json(e.type, CAST(e.payload AS BLOB)) AS entry_json,
            entry_lite_json(e.type, CAST(e.payload AS BLOB)) AS entry_lite_json,
            iso_time(e.appended_at) AS appended_at
            FROM main.invocations i
            JOIN main.entries e ON e.position >= i.number * 1048576 AND e.position < (i.number + 1) * 1048576""",
        "sys_keyed_service_status": """SELECT
            service AS service_name, key AS service_key, invocation_id FROM main.locks""",
        "sys_inbox": """SELECT
            service AS service_name, key AS service_key, invocation_id AS id, sequence AS sequence_number,
            iso_time(created_at) AS created_at FROM main.inbox WHERE invocation_id IS NOT NULL""",
        "sys_promise": """SELECT
            CAST(NULL AS TEXT) AS scope, service AS service_name, key AS service_key, name AS key, 1 AS completed,
            value AS completion_success_value, utf8(value) AS completion_success_value_utf8,
            failure_text(CAST(failure AS BLOB)) AS completion_failure
            FROM main.promises
            UNION ALL SELECT DISTINCT NULL, service, key, name, 0, NULL, NULL, NULL FROM main.promise_waiters""",
        "sys_service": """SELECT
            s.name AS name, s.revision AS revision,
            COALESCE(json_field(CAST(s.record AS BLOB), 'options.public'), 1) AS public,
            lower(json_field(CAST(s.record AS BLOB), 'type')) AS ty,
            s.deployment_id AS deployment_id
            FROM main.services s
            WHERE s.revision = (SELECT max(o.revision) FROM main.services o WHERE o.name = s.name)""",
        "sys_deployment": """SELECT
            d.id AS id, 'http' AS ty,
            endpoint_of(json_field(CAST(d.record AS BLOB), 'uri')) AS endpoint,
            iso_time(json_field(CAST(d.record AS BLOB), 'created_at')) AS created_at,
            json_field(CAST(d.record AS BLOB), 'min_protocol_version') AS min_service_protocol_version,
            json_field(CAST(d.record AS BLOB), 'max_protocol_version') AS max_service_protocol_version,
            (SELECT json_group_array(DISTINCT s.name) FROM main.services s WHERE s.deployment_id = d.id) AS services
            FROM main.deployments d""",
        "state": """SELECT
            CAST(NULL AS TEXT) AS scope, service AS service_name, key AS service_key, utf8(name) AS key,
            length(name) AS key_length, utf8(value) AS value_utf8, value, length(value) AS value_length
            FROM main.state""",
    }
)
"""Name → SELECT."""
