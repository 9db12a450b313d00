"""Writing the engine's file.

Owns every write of the one transaction, and what is remembered between transactions: the objects of
recent invocations, their numbers, and the registry. Only this connection writes, so what it read
stays true until it is changed here; whatever rolls back forgets all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from typing_extensions import override

from durably.engine import faults
from durably.engine.faults import FaultPoint
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
    StateEdit,
    Timer,
    TimerKind,
    Waiter,
)
from durably.engine.store.contract import Transaction
from durably.engine.store.notifications import Notifications
from durably.engine.store.registry_records import text_of
from durably.engine.store.rows import (
    FIRST_PROGRESS_COLUMN,
    INDEX_BITS,
    INDEXED_COLUMNS,
    JOURNAL_LENGTH_COLUMN,
    MAX_INDEX,
    Row,
    fixed_columns,
    progress_columns,
    result_columns,
    text_of_edit,
)
from durably.engine.store.sqlite_reads import SqliteReader
from durably.engine.store.statements import SQL
from durably.errors import StoreError

__all__ = ["SqliteTransaction"]

_UNCOUNTED_ENTRIES: Final = 64  # of a journal, that its invocation's row does not know of; counted when it is read
_REMEMBERED_INVOCATIONS: Final = 2048  # about 2 KiB each
_REMEMBERED_NOTIFICATIONS: Final = 2_000_000  # of all of them, at 4 to 8 bytes
_COPIED_BYTES: Final = 64 * 1024  # up to here a copy costs less than what the driver does with bytes


def _blob(value: bytes) -> bytes | bytearray:
    return bytearray(value) if len(value) <= _COPIED_BYTES else value


class _Known:
    """What is remembered of an invocation.

    Attributes:
        number: Its number.
        invocation: The object that is given out; None when it was not asked for.
        columns: What the file has in `progress_columns`; None when that is not known.
        notifications: All of its journal's; None when they are not known.
    """

    __slots__ = ("columns", "invocation", "notifications", "number")

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.invocation: Invocation | None = None
        self.columns: Row | None = None
        self.notifications: Notifications | None = None


class SqliteTransaction(SqliteReader, Transaction):
    """Reads and writes of the writer's connection.

    Args:
        connection: The writer.
        path: Its file, for messages.
        translate: Says what an error of SQLite means, and remembers that the store has failed.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: str, translate: Callable[[sqlite3.Error], StoreError]
    ) -> None:
        super().__init__(connection, path)
        self._translate = translate
        self._cursor = connection.cursor()
        self._known_invocations: dict[str, _Known] = {}
        self._known_notifications = 0
        self.blob_bytes: int = 0

    # ---- invocations

    @override
    def invocation(self, invocation_id: str) -> Invocation | None:
        known = self._known_invocations.get(invocation_id)
        if known is None or known.invocation is None:
            row = self._row(SQL["invocation"], (invocation_id,))
            if row is None:
                return None
            known = self._remembered(invocation_id, row[0])
            known.invocation = self._invocation_of(row)
            known.columns = row[FIRST_PROGRESS_COLUMN:]
        return known.invocation

    @override
    def insert_invocation(self, invocation: Invocation) -> None:
        columns = progress_columns(invocation)
        self._write(SQL["insert_invocation"], fixed_columns(invocation) + columns)
        number = self._cursor.lastrowid
        assert number is not None
        known = self._remembered(invocation.id, number)
        known.invocation, known.columns, known.notifications = invocation, columns, Notifications()

    @override
    def put_invocation(self, invocation: Invocation) -> None:
        known = self._existing(invocation.id)
        old, columns = known.columns, progress_columns(invocation)
        if old is None or old[:INDEXED_COLUMNS] != columns[:INDEXED_COLUMNS]:
            self._write(SQL["update_invocation"], (*columns, known.number))
        elif old != columns:
            self._write(SQL["update_progress"], (*columns[INDEXED_COLUMNS:], known.number))
        known.invocation, known.columns = invocation, columns

    @override
    def grow_invocation(self, invocation: Invocation) -> None:
        known = self._existing(invocation.id)
        old = known.columns
        if old is None or invocation.journal_length - old[JOURNAL_LENGTH_COLUMN] >= _UNCOUNTED_ENTRIES:
            self.put_invocation(invocation)
        else:
            known.invocation = invocation

    @override
    def delete_invocation(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is None:
            return
        self.delete_journal(invocation_id)
        self._write(SQL["delete_result"], (number,))
        self._write(SQL["delete_invocation"], (number,))
        del self._known_invocations[invocation_id]

    @override
    def put_result(self, invocation_id: str, result: Result) -> None:
        value, failure = result_columns(result)
        self._write(SQL["put_result"], (self._existing(invocation_id).number, value, failure))
        self.blob_bytes += len(value or b"")

    # ---- journals

    @override
    def append_entries(self, invocation_id: str, entries: Sequence[JournalEntry]) -> None:
        known = self._existing(invocation_id)
        notifications = known.notifications
        first = known.number << INDEX_BITS
        append_command, append_notification = SQL["append_command"], SQL["append_notification"]
        for entry in entries:
            index, handle, payload = entry.index, entry.handle, entry.payload
            if index > MAX_INDEX:
                raise StoreError(f"The journal of {invocation_id} is too long: it has {index} entries.")
            position, type = first + index, int(entry.type)
            if handle is None:
                self._write(append_command, (position, type, entry.appended_at, _blob(payload)))
            else:
                failed = 1 if entry.failed else 0
                self._write(append_notification, (position, type, handle, failed, entry.appended_at, _blob(payload)))
                if notifications is not None:
                    notifications.add(index, handle, failed)
                    self._known_notifications += 1
            self.blob_bytes += len(payload)

    @override
    def notified(self, invocation_id: str, handles: Collection[Handle], start: int = 0) -> dict[Handle, bool]:
        number = self._number(invocation_id)
        if number is None:
            return {}
        notifications = self._known_invocations[invocation_id].notifications
        if notifications is None:
            notifications = self._notifications(number, start)
            if start == 0:
                self._known_invocations[invocation_id].notifications = notifications
                self._known_notifications += len(notifications)
        return notifications.find(handles, start)

    @override
    def delete_journal(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_journal"], (number << INDEX_BITS, (number + 1) << INDEX_BITS))
            self._known_invocations[invocation_id].notifications = Notifications()

    # ---- timers

    @override
    def put_timer(self, timer: Timer) -> None:
        number = self._existing(timer.invocation_id).number
        self._write(SQL["put_timer"], (number, int(timer.kind), timer.completion_id, timer.due_at))

    @override
    def delete_timer(self, invocation_id: str, kind: TimerKind, completion_id: int = 0) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_timer"], (number, int(kind), completion_id))

    @override
    def delete_timers(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_timers"], (number,))

    # ---- keys

    @override
    def put_lock(self, service: str, key: str, invocation_id: str) -> None:
        self._write(SQL["put_lock"], (service, key, invocation_id))

    @override
    def delete_lock(self, service: str, key: str) -> None:
        self._write(SQL["delete_lock"], (service, key))

    @override
    def push_inbox(
        self, service: str, key: str, invocation_id: str | None, edit: StateEdit | None, now_ms: int
    ) -> InboxItem:
        self._write(SQL["push_inbox"], (service, key, invocation_id, text_of_edit(edit), now_ms))
        sequence = self._cursor.lastrowid
        assert sequence is not None
        return InboxItem(sequence, service, key, invocation_id, edit, now_ms)

    @override
    def delete_inbox_item(self, sequence: int) -> None:
        self._write(SQL["delete_inbox_item"], (sequence,))

    @override
    def delete_from_inbox(self, invocation_id: str) -> None:
        self._write(SQL["delete_from_inbox"], (invocation_id,))

    # ---- state

    @override
    def put_state(self, service: str, key: str, name: bytes, value: bytes) -> None:
        self._write(SQL["put_state"], (service, key, _blob(name), _blob(value)))
        self.blob_bytes += len(value)

    @override
    def delete_state(self, service: str, key: str, name: bytes) -> None:
        self._write(SQL["delete_state"], (service, key, name))

    @override
    def clear_state(self, service: str, key: str) -> None:
        self._write(SQL["clear_state"], (service, key))

    @override
    def replace_state(self, service: str, key: str, state: Mapping[bytes, bytes]) -> None:
        self.clear_state(service, key)
        for name, value in state.items():
            self.put_state(service, key, name, value)

    # ---- promises

    @override
    def put_promise(self, promise: Promise) -> None:
        value, failure = result_columns(promise.result)
        self._write(
            SQL["put_promise"],
            (promise.service, promise.key, promise.name, value, failure, promise.completed_at),
        )

    @override
    def add_promise_waiter(self, waiter: PromiseWaiter) -> None:
        number = self._existing(waiter.invocation_id).number
        self._write(SQL["add_promise_waiter"], (number, waiter.completion_id, waiter.service, waiter.key, waiter.name))

    @override
    def delete_promise_waiters(self, service: str, key: str, name: str) -> None:
        self._write(SQL["delete_promise_waiters"], (service, key, name))

    @override
    def delete_promise_waits_of(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_promise_waits_of"], (number,))

    @override
    def delete_promises(self, service: str, key: str) -> None:
        self._write(SQL["delete_promises"], (service, key))

    # ---- waiters

    @override
    def add_waiter(self, waiter: Waiter) -> None:
        awaited, waiting = self._existing(waiter.invocation_id).number, self._existing(waiter.waiter_id).number
        self._write(SQL["add_waiter"], (waiting, waiter.completion_id, awaited, int(waiter.notification_type)))

    @override
    def delete_waiters(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_waiters"], (number,))

    @override
    def delete_waits_of(self, waiter_id: str) -> None:
        number = self._number(waiter_id)
        if number is not None:
            self._write(SQL["delete_waits_of"], (number,))

    # ---- registry

    @override
    def put_deployment(self, deployment: Deployment) -> None:
        self._write(SQL["put_deployment"], (deployment.id, text_of(deployment)))
        self._known().put_deployment(deployment)

    @override
    def delete_deployment(self, deployment_id: str) -> None:
        self._write(SQL["delete_deployment"], (deployment_id,))
        self._write(SQL["delete_services_of"], (deployment_id,))
        self._known().delete_deployment(deployment_id)

    @override
    def put_service(self, service: ServiceRecord) -> None:
        self._write(SQL["put_service"], (service.name, service.revision, service.deployment_id, text_of(service)))
        self._known().put_service(service)

    @override
    def delete_service(self, name: str, revision: int) -> None:
        self._write(SQL["delete_service"], (name, revision))
        self._known().delete_service(name, revision)

    # ---- who drives the store

    @override
    def put_lease(self, lease: Lease) -> None:
        self._write(SQL["put_lease"], (lease.epoch, lease.owner, lease.address, lease.expires_at))

    # ---- for the store

    @override
    def forget(self) -> None:
        super().forget()
        self._known_invocations.clear()
        self._known_notifications = 0

    def trim(self) -> None:
        """Forget invocations when too much is remembered; call it between transactions."""
        if (
            len(self._known_invocations) > _REMEMBERED_INVOCATIONS
            or self._known_notifications > _REMEMBERED_NOTIFICATIONS
        ):
            self._known_invocations.clear()
            self._known_notifications = 0

    @override
    def _translated(self, error: sqlite3.Error) -> StoreError:
        return self._translate(error)

    def _remembered(self, invocation_id: str, number: int) -> _Known:
        known = self._known_invocations.get(invocation_id)
        if known is None:
            known = self._known_invocations[invocation_id] = _Known(number)
        return known

    @override
    def _number(self, invocation_id: str) -> int | None:
        known = self._known_invocations.get(invocation_id)
        if known is not None:
            return known.number
        number = super()._number(invocation_id)
        if number is not None:
            self._remembered(invocation_id, number)
        return number

    def _existing(self, invocation_id: str) -> _Known:
        known = self._known_invocations.get(invocation_id)
        if known is None:
            number = super()._number(invocation_id)
            if number is None:
                raise StoreError(f"{invocation_id} does not exist in {self.path}.")
            known = self._remembered(invocation_id, number)
        return known

    def _write(self, sql: str, parameters: Row) -> None:
        try:
            self._cursor.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        if faults.hook is not None:
            faults.hook(FaultPoint.STATEMENT)
