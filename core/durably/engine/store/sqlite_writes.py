"""Writing the engine's file.

Owns every write of the one transaction, and what is remembered between transactions: the objects of
recent invocations, their numbers, and the registry. Only this connection writes, so what it read
stays true until it is changed here; whatever rolls back forgets all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from typing_extensions import override

from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.engine.records import (
    Deployment,
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
from durably.engine.store.registry_records import text_of
from durably.engine.store.rows import (
    INDEX_BITS,
    MAX_INDEX,
    Row,
    fixed_columns,
    invocation_of,
    progress_columns,
    result_columns,
    text_of_edit,
)
from durably.engine.store.sqlite_reads import SqliteReader
from durably.engine.store.statements import SQL
from durably.errors import StoreError

__all__ = ["SqliteTransaction"]

_REMEMBERED_INVOCATIONS: Final = 2048  # about 2 KiB each
_COPIED_BYTES: Final = 64 * 1024  # up to here a copy costs less than what the driver does with bytes


def _blob(value: bytes) -> bytes | bytearray:
    return bytearray(value) if len(value) <= _COPIED_BYTES else value


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
        self._invocations: dict[str, Invocation] = {}
        self._numbers: dict[str, int] = {}
        self.blob_bytes: int = 0

    # ---- invocations

    @override
    def invocation(self, invocation_id: str) -> Invocation | None:
        invocation = self._invocations.get(invocation_id)
        if invocation is None:
            row = self._row(SQL["invocation"], (invocation_id,))
            if row is None:
                return None
            invocation = invocation_of(row[1:])
            self._remember(invocation, row[0])
        return invocation

    @override
    def insert_invocation(self, invocation: Invocation) -> None:
        self._write(SQL["insert_invocation"], fixed_columns(invocation) + progress_columns(invocation))
        number = self._cursor.lastrowid
        assert number is not None
        self._remember(invocation, number)

    @override
    def put_invocation(self, invocation: Invocation) -> None:
        number = self._existing(invocation.id)
        self._write(SQL["update_invocation"], (*progress_columns(invocation), number))
        self._invocations[invocation.id] = invocation

    @override
    def delete_invocation(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is None:
            return
        self.delete_journal(invocation_id)
        self._write(SQL["delete_result"], (number,))
        self._write(SQL["delete_invocation"], (number,))
        self._invocations.pop(invocation_id, None)
        self._numbers.pop(invocation_id, None)

    @override
    def put_result(self, invocation_id: str, result: Result) -> None:
        value, failure = result_columns(result)
        self._write(SQL["put_result"], (self._existing(invocation_id), value, failure))
        self.blob_bytes += len(value or b"")

    # ---- journals

    @override
    def append_entries(self, invocation_id: str, entries: Sequence[JournalEntry]) -> None:
        first = self._existing(invocation_id) << INDEX_BITS
        append_command, append_notification = SQL["append_command"], SQL["append_notification"]
        for entry in entries:
            index, payload = entry.index, entry.payload
            if index > MAX_INDEX:
                raise StoreError(f"The journal of {invocation_id} is too long: it has {index} entries.")
            position, type = first + index, int(entry.type)
            if entry.handle is None:
                self._write(append_command, (position, type, entry.appended_at, _blob(payload)))
            else:
                failed = 1 if entry.failed else 0
                self._write(
                    append_notification, (position, type, entry.handle, failed, entry.appended_at, _blob(payload))
                )
            self.blob_bytes += len(payload)

    @override
    def delete_journal(self, invocation_id: str) -> None:
        number = self._number(invocation_id)
        if number is not None:
            self._write(SQL["delete_journal"], (number << INDEX_BITS, (number + 1) << INDEX_BITS))

    # ---- timers

    @override
    def put_timer(self, timer: Timer) -> None:
        number = self._existing(timer.invocation_id)
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
        number = self._existing(waiter.invocation_id)
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
        awaited, waiting = self._existing(waiter.invocation_id), self._existing(waiter.waiter_id)
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
        self._invocations.clear()
        self._numbers.clear()

    def trim(self) -> None:
        """Forget invocations when too many are remembered; call it between transactions."""
        if len(self._numbers) > _REMEMBERED_INVOCATIONS:
            self._invocations.clear()
            self._numbers.clear()

    @override
    def _translated(self, error: sqlite3.Error) -> StoreError:
        return self._translate(error)

    def _remember(self, invocation: Invocation, number: int) -> None:
        self._invocations[invocation.id] = invocation
        self._numbers[invocation.id] = number

    @override
    def _number(self, invocation_id: str) -> int | None:
        number = self._numbers.get(invocation_id)
        if number is None:
            number = super()._number(invocation_id)
            if number is not None:
                self._numbers[invocation_id] = number
        return number

    def _existing(self, invocation_id: str) -> int:
        number = self._number(invocation_id)
        if number is None:
            raise StoreError(f"{invocation_id} does not exist in {self.path}.")
        return number

    def _write(self, sql: str, parameters: Row) -> None:
        try:
            self._cursor.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        if faults.hook is not None:
            faults.hook(FaultPoint.STATEMENT)
