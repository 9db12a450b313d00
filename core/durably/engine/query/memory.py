"""A copy of a store in memory as a SQLite database, for one query."""

from __future__ import annotations

import sqlite3

from durably.engine.store.failures import translated
from durably.engine.store.memory_rows import MemoryReader
from durably.engine.store.migrations import MIGRATIONS, statements_of
from durably.engine.store.sqlite_writes import SqliteTransaction

__all__ = ["copy_of"]

_PATH = ":memory:"


def copy_of(reader: MemoryReader) -> sqlite3.Connection:
    """Copy what the views show into a new database with the schema of the engine's file."""
    connection = sqlite3.connect(_PATH, isolation_level=None, check_same_thread=False)
    for migration in MIGRATIONS:
        for statement in statements_of(migration.sql):
            connection.execute(statement)
    connection.execute("BEGIN")
    _fill(SqliteTransaction(connection, _PATH, lambda error: translated(error, _PATH)), reader)
    connection.execute("COMMIT")
    return connection


def _fill(transaction: SqliteTransaction, reader: MemoryReader) -> None:
    rows = reader.rows
    for row in rows.invocations:
        transaction.insert_invocation(row.invocation)
        invocation_id = row.invocation.id
        transaction.append_entries(invocation_id, reader.entries(invocation_id))
        if invocation_id in rows.results:
            transaction.put_result(invocation_id, rows.results[invocation_id])
    for (service, key), invocation_id in rows.locks.items():
        transaction.put_lock(service, key, invocation_id)
    for item in sorted(rows.inbox, key=lambda item: item.sequence):
        transaction.push_inbox(item.service, item.key, item.invocation_id, item.edit, item.created_at)
    for (service, key), values in rows.state.items():
        transaction.replace_state(service, key, values)
    for promise in rows.promises:
        transaction.put_promise(promise)
    for waiter in rows.promise_waiters:
        transaction.add_promise_waiter(waiter)
    for deployment in reader.deployments():
        transaction.put_deployment(deployment)
        for service_record in reader.services_of(deployment.id):
            transaction.put_service(service_record)
