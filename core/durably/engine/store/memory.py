"""A store in memory: the contract without a disk.

Owns the writes, and undoing them. What it holds is gone with the process: it is for tests, for
simulations, and for applications that want handlers without durability (`memory://`).

Writer and readers share the tables, so one lock lets either in: a reader waits for the end of the open
transaction, and sees what is committed, as with SQLite.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import TypeVar

from typing_extensions import override

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
from durably.engine.store.contract import Reader, Store, Transaction
from durably.engine.store.memory_rows import InvocationRow, Journal, MemoryReader, Rows
from durably.engine.store.registry import Registry
from durably.errors import StoreError, StoreFencedError

__all__ = ["MemoryStore", "MemoryTransaction"]

T = TypeVar("T")
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class MemoryTransaction(MemoryReader, Transaction):
    """Writes to the tables, each noted in the undo log."""

    # ---- invocations

    @override
    def insert_invocation(self, invocation: Invocation) -> None:
        rows = self._rows
        if rows.invocations.get(invocation.id) is not None:
            raise StoreError(f"{invocation.id} exists already.")
        rows.last_number += 1
        rows.invocations.put(InvocationRow(rows.last_number, copy(invocation)))

    @override
    def put_invocation(self, invocation: Invocation) -> None:
        row = self._rows.invocations.get(invocation.id)
        if row is None:
            raise StoreError(f"{invocation.id} does not exist.")
        self._rows.invocations.put(InvocationRow(row.number, copy(invocation)))

    @override
    def grow_invocation(self, invocation: Invocation) -> None:
        self.put_invocation(invocation)

    @override
    def delete_invocation(self, invocation_id: str) -> None:
        self.delete_journal(invocation_id)
        self._pop(self._rows.results, invocation_id)
        self._rows.invocations.delete(invocation_id)

    @override
    def put_result(self, invocation_id: str, result: Result) -> None:
        self._set(self._rows.results, invocation_id, result)

    # ---- journals

    @override
    def append_entries(self, invocation_id: str, entries: Sequence[JournalEntry]) -> None:
        journal = self._rows.journals.get(invocation_id)
        if journal is None:
            journal = Journal([], {})
            self._set(self._rows.journals, invocation_id, journal)
        for entry in entries:
            if entry.index != len(journal.entries):
                raise StoreError(f"Entry {entry.index} of {invocation_id} does not continue its journal.")
            journal.entries.append(entry)
            self._rows.log.add(journal.entries.pop)
            if entry.handle is not None and entry.handle not in journal.notified:
                self._set(journal.notified, entry.handle, entry.failed)

    @override
    def delete_journal(self, invocation_id: str) -> None:
        self._pop(self._rows.journals, invocation_id)

    # ---- timers

    @override
    def put_timer(self, timer: Timer) -> None:
        self._rows.timers.put(timer)

    @override
    def delete_timer(self, invocation_id: str, kind: TimerKind, completion_id: int = 0) -> None:
        self._rows.timers.delete((invocation_id, kind, completion_id))

    @override
    def delete_timers(self, invocation_id: str) -> None:
        self._rows.timers.delete_group("invocation", invocation_id)

    # ---- keys

    @override
    def put_lock(self, service: str, key: str, invocation_id: str) -> None:
        self._set(self._rows.locks, (service, key), invocation_id)

    @override
    def delete_lock(self, service: str, key: str) -> None:
        self._pop(self._rows.locks, (service, key))

    @override
    def push_inbox(
        self, service: str, key: str, invocation_id: str | None, edit: StateEdit | None, now_ms: int
    ) -> InboxItem:
        rows = self._rows
        rows.last_sequence += 1
        rows.log.add(self._take_back_sequence)
        item = InboxItem(rows.last_sequence, service, key, invocation_id, edit, now_ms)
        rows.inbox.put(item)
        return item

    @override
    def delete_inbox_item(self, sequence: int) -> None:
        self._rows.inbox.delete(sequence)

    @override
    def delete_from_inbox(self, invocation_id: str) -> None:
        self._rows.inbox.delete_group("invocation", invocation_id)

    # ---- state

    @override
    def put_state(self, service: str, key: str, name: bytes, value: bytes) -> None:
        values = self._rows.state.get((service, key))
        if values is None:
            self._set(self._rows.state, (service, key), {name: value})
        else:
            self._set(values, name, value)

    @override
    def delete_state(self, service: str, key: str, name: bytes) -> None:
        self._pop(self._rows.state.get((service, key), {}), name)

    @override
    def clear_state(self, service: str, key: str) -> None:
        self._pop(self._rows.state, (service, key))

    @override
    def replace_state(self, service: str, key: str, state: Mapping[bytes, bytes]) -> None:
        self._set(self._rows.state, (service, key), dict(state))

    # ---- promises

    @override
    def put_promise(self, promise: Promise) -> None:
        self._rows.promises.put(promise)

    @override
    def add_promise_waiter(self, waiter: PromiseWaiter) -> None:
        self._rows.promise_waiters.put(waiter)

    @override
    def delete_promise_waiters(self, service: str, key: str, name: str) -> None:
        self._rows.promise_waiters.delete_group("promise", (service, key, name))

    @override
    def delete_promise_waits_of(self, invocation_id: str) -> None:
        self._rows.promise_waiters.delete_group("invocation", invocation_id)

    @override
    def delete_promises(self, service: str, key: str) -> None:
        self._rows.promises.delete_group("object", (service, key))

    # ---- waiters

    @override
    def add_waiter(self, waiter: Waiter) -> None:
        self._rows.waiters.put(waiter)

    @override
    def delete_waiters(self, invocation_id: str) -> None:
        self._rows.waiters.delete_group("invocation", invocation_id)

    @override
    def delete_waits_of(self, waiter_id: str) -> None:
        self._rows.waiters.delete_group("waiter", waiter_id)

    # ---- registry

    @override
    def put_deployment(self, deployment: Deployment) -> None:
        self._change_registry().put_deployment(deployment)

    @override
    def delete_deployment(self, deployment_id: str) -> None:
        self._change_registry().delete_deployment(deployment_id)

    @override
    def put_service(self, service: ServiceRecord) -> None:
        self._change_registry().put_service(service)

    @override
    def delete_service(self, name: str, revision: int) -> None:
        self._change_registry().delete_service(name, revision)

    # ---- who drives the store

    @override
    def put_lease(self, lease: Lease) -> None:
        rows, old = self._rows, self._rows.lease
        rows.lease = lease
        rows.log.add(lambda: setattr(rows, "lease", old))

    # ---- undoing

    def _set(self, table: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
        if key in table:
            old = table[key]
            self._rows.log.add(lambda: table.__setitem__(key, old))
        else:
            self._rows.log.add(lambda: table.__delitem__(key))
        table[key] = value

    def _pop(self, table: dict[KeyT, ValueT], key: KeyT) -> None:
        if key in table:
            old = table.pop(key)
            self._rows.log.add(lambda: table.__setitem__(key, old))

    def _take_back_sequence(self) -> None:
        self._rows.last_sequence -= 1

    def _change_registry(self) -> Registry:
        rows, old = self._rows, self._rows.registry
        rows.registry = old.copy()
        rows.log.add(lambda: setattr(rows, "registry", old))
        return rows.registry


class MemoryStore(Store):
    """A store that lives as long as its process."""

    def __init__(self) -> None:
        self._rows = Rows()
        self._reader = MemoryReader(self._rows)
        self._transaction = MemoryTransaction(self._rows)
        self._lock = threading.Lock()
        self._writer: int | None = None
        self._mark = 0
        self._epoch: int | None = None
        self._is_closed = False

    @override
    def begin(self) -> Transaction:
        self._check_usable()
        self._lock.acquire()
        self._writer = threading.get_ident()
        current = self._rows.lease.epoch
        if self._epoch is not None and current != self._epoch:
            self._end()
            raise StoreFencedError(
                "Another engine took over the store.", epoch=self._epoch, current=current, hint="This one must stop."
            )
        return self._transaction

    @override
    def commit(self) -> None:
        self._rows.log.clear()
        self._end()

    @override
    def rollback(self) -> None:
        if self._writer is not None:
            self._rows.log.undo()
            self._end()

    @override
    def mark(self) -> None:
        self._mark = len(self._rows.log)

    @override
    def rollback_to_mark(self) -> None:
        self._rows.log.undo(self._mark)

    @override
    def fence(self, epoch: int | None) -> None:
        self._epoch = epoch

    @override
    def read(self, work: Callable[[Reader], T]) -> T:
        self._check_usable()
        with self._lock:
            return work(self._reader)

    @override
    def close(self) -> None:
        self._is_closed = True

    def _end(self) -> None:
        self._mark = 0
        self._writer = None
        self._lock.release()

    def _check_usable(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")
        if self._writer == threading.get_ident():
            raise StoreError("This thread has a transaction open already.")
