"""Reading the engine's file.

Owns every read of a transaction and of a reader, over one connection. Errors of SQLite leave as
`StoreError`s.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from typing_extensions import override

from durably.engine.records import (
    Deployment,
    Handle,
    InboxItem,
    Invocation,
    JournalEntry,
    Lease,
    Promise,
    PromiseWaiter,
    Result,
    ServiceRecord,
    Status,
    Timer,
    TimerKind,
    Waiter,
)
from durably.engine.store.contract import Reader
from durably.engine.store.failures import translated
from durably.engine.store.notifications import Notifications
from durably.engine.store.registry import Registry
from durably.engine.store.registry_records import deployment_of, service_of
from durably.engine.store.rows import INDEX_BITS, Row, entry_of, inbox_item_of, invocation_of, result_of
from durably.engine.store.statements import SQL
from durably.errors import StoreCorruptError, StoreError

__all__ = ["SqliteReader"]


class SqliteReader(Reader):
    """Reads over one connection; the caller opens and ends the transaction.

    Args:
        connection: Used by one thread at a time.
        path: Its file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.connection = connection
        self.path = path
        self._registry: Registry | None = None

    # ---- invocations

    @override
    def invocation(self, invocation_id: str) -> Invocation | None:
        row = self._row(SQL["invocation"], (invocation_id,))
        return None if row is None else self._invocation_of(row)

    @override
    def result(self, invocation_id: str) -> Result:
        row = self._row(SQL["result"], (invocation_id,))
        return None if row is None else result_of(row[0], row[1])

    @override
    def children(self, invocation_id: str) -> list[str]:
        return [row[0] for row in self._rows(SQL["children"], (invocation_id,))]

    @override
    def running(self, after: str, limit: int) -> list[str]:
        return [row[0] for row in self._rows(SQL["running"], (after, limit))]

    @override
    def expired(self, now_ms: int, limit: int) -> list[str]:
        return [row[0] for row in self._rows(SQL["expired"], (now_ms, limit))]

    @override
    def journals_expired(self, now_ms: int, limit: int) -> list[str]:
        return [row[0] for row in self._rows(SQL["journals_expired"], (now_ms, limit))]

    @override
    def next_expiry(self) -> int | None:
        row = self._row(SQL["next_expiry"], ())
        return min((time for time in row or () if time is not None), default=None)

    # ---- journals

    @override
    def entries(self, invocation_id: str, stop: int | None = None) -> list[JournalEntry]:
        number = self._number(invocation_id)
        if number is None:
            return []
        first = number << INDEX_BITS
        last = (number + 1) << INDEX_BITS if stop is None else min(first + stop, (number + 1) << INDEX_BITS)
        return [entry_of(row) for row in self._rows(SQL["entries"], (first, last))]

    @override
    def notified(self, invocation_id: str, handles: Collection[Handle], start: int = 0) -> dict[Handle, bool]:
        number = self._number(invocation_id)
        return {} if number is None else self._notifications(number, start).find(handles, start)

    # ---- timers

    @override
    def due_timers(self, now_ms: int, limit: int) -> list[Timer]:
        return [
            Timer(due_at, TimerKind(kind), invocation_id, completion_id)
            for due_at, kind, invocation_id, completion_id in self._rows(SQL["due_timers"], (now_ms, limit))
        ]

    @override
    def next_timer(self) -> int | None:
        row = self._row(SQL["next_timer"], ())
        return None if row is None else row[0]

    # ---- keys

    @override
    def lock_holder(self, service: str, key: str) -> str | None:
        row = self._row(SQL["lock_holder"], (service, key))
        return None if row is None else row[0]

    @override
    def inbox_head(self, service: str, key: str) -> InboxItem | None:
        row = self._row(SQL["inbox_head"], (service, key))
        return None if row is None else inbox_item_of(row)

    # ---- state

    @override
    def state_value(self, service: str, key: str, name: bytes) -> bytes | None:
        row = self._row(SQL["state_value"], (service, key, name))
        return None if row is None else row[0]

    @override
    def state_names(self, service: str, key: str) -> list[bytes]:
        return [row[0] for row in self._rows(SQL["state_names"], (service, key))]

    @override
    def state_items(self, service: str, key: str) -> Iterator[tuple[bytes, bytes]]:
        try:
            yield from self.connection.execute(SQL["state_items"], (service, key))
        except sqlite3.Error as error:
            raise self._translated(error) from error

    # ---- promises

    @override
    def promise(self, service: str, key: str, name: str) -> Promise | None:
        row = self._row(SQL["promise"], (service, key, name))
        if row is None:
            return None
        result = result_of(row[0], row[1])
        if result is None:
            raise StoreCorruptError(f"The promise {name!r} in {self.path} has no result.")
        return Promise(service, key, name, result, row[2])

    @override
    def promise_waiters(self, service: str, key: str, name: str) -> list[PromiseWaiter]:
        return [
            PromiseWaiter(service, key, name, invocation_id, completion_id)
            for invocation_id, completion_id in self._rows(SQL["promise_waiters"], (service, key, name))
        ]

    # ---- waiters

    @override
    def waiters(self, invocation_id: str) -> list[Waiter]:
        number = self._number(invocation_id)
        if number is None:
            return []
        return [Waiter(invocation_id, *row) for row in self._rows(SQL["waiters"], (number,))]

    # ---- registry

    @override
    def deployment(self, deployment_id: str) -> Deployment | None:
        return self._known().deployment(deployment_id)

    @override
    def deployment_at(self, uri: str) -> Deployment | None:
        return self._known().deployment_at(uri)

    @override
    def deployments(self) -> list[Deployment]:
        return self._known().deployments()

    @override
    def service(self, name: str) -> ServiceRecord | None:
        return self._known().service(name)

    @override
    def service_at(self, name: str, deployment_id: str) -> ServiceRecord | None:
        return self._known().service_at(name, deployment_id)

    @override
    def services(self) -> list[ServiceRecord]:
        return self._known().services()

    @override
    def services_of(self, deployment_id: str) -> list[ServiceRecord]:
        return self._known().services_of(deployment_id)

    # ---- who drives the store

    @override
    def lease(self) -> Lease:
        row = self._row(SQL["lease"], ())
        return Lease() if row is None else Lease(*row)

    # ---- for the store

    def forget(self) -> None:
        """Forget what was read: the next transaction may see something else."""
        self._registry = None

    def _translated(self, error: sqlite3.Error) -> StoreError:
        return translated(error, self.path)

    def _known(self) -> Registry:
        registry = self._registry
        if registry is None:
            registry = self._registry = Registry(
                [deployment_of(row[0]) for row in self._rows(SQL["deployments"], ())],
                [service_of(row[0]) for row in self._rows(SQL["services"], ())],
            )
        return registry

    def _invocation_of(self, row: Row) -> Invocation:
        """Build an invocation from a row of the statement `invocation`, and count the entries that it does not know of.

        While an invocation runs its row is not written for every entry; see `Transaction.grow_invocation`.
        """
        invocation = invocation_of(row[1:])
        if invocation.status is Status.RUNNING:
            first = row[0] << INDEX_BITS
            uncounted = (first + invocation.journal_length, first + (1 << INDEX_BITS))
            for is_command, appended_at in self._rows(SQL["uncounted"], uncounted):
                invocation.journal_length += 1
                if is_command:
                    invocation.command_count += 1
                    invocation.last_entry_at = appended_at
        return invocation

    def _number(self, invocation_id: str) -> int | None:
        row = self._row(SQL["invocation_number"], (invocation_id,))
        return None if row is None else row[0]

    def _notifications(self, number: int, start: int) -> Notifications:
        """Read the notifications of a journal from `start` on."""
        first = number << INDEX_BITS
        found = Notifications()
        for index, handle, failed in self._rows(SQL["notifications"], (first + start, first + (1 << INDEX_BITS))):
            found.add(index, handle, failed)
        return found

    def _row(self, sql: str, parameters: Row) -> Row | None:
        try:
            row: Row | None = self.connection.execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return row

    def _rows(self, sql: str, parameters: Row) -> list[Row]:
        try:
            return self.connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._translated(error) from error
