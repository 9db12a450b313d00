"""The rows of a store in memory, and reading them.

Owns the tables, their indexes and every read. Invocations are copied on the way in and out, so that
a caller's change counts only once it is put back.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass

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
from durably.engine.store.registry import Registry
from durably.engine.store.tables import Index, Table, UndoLog

__all__ = ["InvocationRow", "Journal", "MemoryReader", "Rows"]

Key = tuple[str, str]
PromiseKey = tuple[str, str, str]
TimerKey = tuple[str, TimerKind, int]
WaitKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class InvocationRow:
    """An invocation that nobody outside holds, and its age among all."""

    number: int
    invocation: Invocation


@dataclass(slots=True)
class Journal:
    """The entries of an invocation, and for each handle whether its first notification failed."""

    entries: list[JournalEntry]
    notified: dict[Handle, bool]


def _all(_row: object) -> bool:
    return True


class Rows:
    """Every table of a store in memory."""

    def __init__(self) -> None:
        self.log: UndoLog = UndoLog()
        self.last_number = 0
        self.last_sequence = 0
        self.lease: Lease = Lease()
        self.registry: Registry = Registry()
        self.results: dict[str, Result] = {}
        self.journals: dict[str, Journal] = {}
        self.locks: dict[Key, str] = {}
        self.state: dict[Key, dict[bytes, bytes]] = {}
        self.invocations: Table[str, InvocationRow] = Table[str, InvocationRow](
            self.log,
            lambda row: row.invocation.id,
            parent=Index(lambda row: row.invocation.parent_id, lambda row: (row.number,)),
            expiry=Index(
                lambda row: None if row.invocation.expires_at is None else True,
                lambda row: (row.invocation.expires_at, row.number),
            ),
            journal_expiry=Index(
                lambda row: None if row.invocation.journal_expires_at is None else True,
                lambda row: (row.invocation.journal_expires_at, row.number),
            ),
            running=Index(
                lambda row: True if row.invocation.status in (Status.RUNNING, Status.BACKING_OFF) else None,
                lambda row: (row.invocation.id,),
            ),
        )
        self.timers: Table[TimerKey, Timer] = Table[TimerKey, Timer](
            self.log,
            lambda timer: (timer.invocation_id, timer.kind, timer.completion_id),
            due=Index(
                _all,
                lambda timer: (timer.due_at, self.number(timer.invocation_id), timer.kind, timer.completion_id),
            ),
            invocation=Index(lambda timer: timer.invocation_id, lambda timer: (timer.kind, timer.completion_id)),
        )
        self.inbox: Table[int, InboxItem] = Table[int, InboxItem](
            self.log,
            lambda item: item.sequence,
            object=Index(lambda item: (item.service, item.key), lambda item: (item.sequence,)),
            invocation=Index(lambda item: item.invocation_id, lambda item: (item.sequence,)),
        )
        self.promises: Table[PromiseKey, Promise] = Table[PromiseKey, Promise](
            self.log,
            lambda promise: (promise.service, promise.key, promise.name),
            object=Index(lambda promise: (promise.service, promise.key), lambda promise: (promise.name,)),
        )
        self.promise_waiters: Table[WaitKey, PromiseWaiter] = Table[WaitKey, PromiseWaiter](
            self.log,
            lambda waiter: (waiter.invocation_id, waiter.completion_id),
            promise=Index(
                lambda waiter: (waiter.service, waiter.key, waiter.name),
                lambda waiter: (self.number(waiter.invocation_id), waiter.completion_id),
            ),
            invocation=Index(lambda waiter: waiter.invocation_id, lambda waiter: (waiter.completion_id,)),
        )
        self.waiters: Table[WaitKey, Waiter] = Table[WaitKey, Waiter](
            self.log,
            lambda waiter: (waiter.waiter_id, waiter.completion_id),
            invocation=Index(
                lambda waiter: waiter.invocation_id,
                lambda waiter: (self.number(waiter.waiter_id), waiter.completion_id),
            ),
            waiter=Index(lambda waiter: waiter.waiter_id, lambda waiter: (waiter.completion_id,)),
        )

    def number(self, invocation_id: str) -> int:
        """Give the age of an invocation that exists."""
        row = self.invocations.get(invocation_id)
        assert row is not None, f"{invocation_id} does not exist"
        return row.number


class MemoryReader(Reader):
    """Reads of the tables as they are."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    @property
    def rows(self) -> Rows:
        """The tables, to be read only."""
        return self._rows

    @override
    def invocation(self, invocation_id: str) -> Invocation | None:
        row = self._rows.invocations.get(invocation_id)
        return None if row is None else copy(row.invocation)

    @override
    def result(self, invocation_id: str) -> Result:
        return self._rows.results.get(invocation_id)

    @override
    def children(self, invocation_id: str) -> list[str]:
        return [row.invocation.id for row in self._rows.invocations.find("parent", invocation_id)]

    @override
    def running(self, after: str, limit: int) -> list[str]:
        later = (row.invocation.id for row in self._rows.invocations.find("running", True) if row.invocation.id > after)
        return heapq.nsmallest(limit, later)

    @override
    def expired(self, now_ms: int, limit: int) -> list[str]:
        found: list[str] = []
        for row in self._rows.invocations.find("expiry", True):
            expires_at = row.invocation.expires_at
            if len(found) >= limit or expires_at is None or expires_at > now_ms:
                break
            found.append(row.invocation.id)
        return found

    @override
    def journals_expired(self, now_ms: int, limit: int) -> list[str]:
        found: list[str] = []
        for row in self._rows.invocations.find("journal_expiry", True):
            expires_at = row.invocation.journal_expires_at
            if len(found) >= limit or expires_at is None or expires_at > now_ms:
                break
            found.append(row.invocation.id)
        return found

    @override
    def next_expiry(self) -> int | None:
        row = self._rows.invocations.first("expiry", True)
        journal_row = self._rows.invocations.first("journal_expiry", True)
        times = (
            None if row is None else row.invocation.expires_at,
            None if journal_row is None else journal_row.invocation.journal_expires_at,
        )
        return min((time for time in times if time is not None), default=None)

    @override
    def entries(self, invocation_id: str, stop: int | None = None) -> list[JournalEntry]:
        journal = self._rows.journals.get(invocation_id)
        return [] if journal is None else journal.entries[:stop]

    @override
    def notified(self, invocation_id: str, handles: Collection[Handle], start: int = 0) -> dict[Handle, bool]:
        journal = self._rows.journals.get(invocation_id)
        if journal is not None and start > 0:
            later: dict[Handle, bool] = {}
            for entry in journal.entries[start:]:
                if entry.handle is not None and entry.handle in handles:
                    later.setdefault(entry.handle, entry.failed)
            return later
        known = {} if journal is None else journal.notified
        return {handle: known[handle] for handle in handles if handle in known}

    @override
    def due_timers(self, now_ms: int, limit: int) -> list[Timer]:
        found: list[Timer] = []
        for timer in self._rows.timers.find("due", True):
            if len(found) >= limit or timer.due_at > now_ms:
                break
            found.append(timer)
        return found

    @override
    def next_timer(self) -> int | None:
        timer = self._rows.timers.first("due", True)
        return None if timer is None else timer.due_at

    @override
    def lock_holder(self, service: str, key: str) -> str | None:
        return self._rows.locks.get((service, key))

    @override
    def inbox_head(self, service: str, key: str) -> InboxItem | None:
        return self._rows.inbox.first("object", (service, key))

    @override
    def state_value(self, service: str, key: str, name: bytes) -> bytes | None:
        return self._rows.state.get((service, key), {}).get(name)

    @override
    def state_names(self, service: str, key: str) -> list[bytes]:
        return sorted(self._rows.state.get((service, key), {}))

    @override
    def state_items(self, service: str, key: str) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(self._rows.state.get((service, key), {}).items()))

    @override
    def promise(self, service: str, key: str, name: str) -> Promise | None:
        return self._rows.promises.get((service, key, name))

    @override
    def promise_waiters(self, service: str, key: str, name: str) -> list[PromiseWaiter]:
        return list(self._rows.promise_waiters.find("promise", (service, key, name)))

    @override
    def waiters(self, invocation_id: str) -> list[Waiter]:
        return list(self._rows.waiters.find("invocation", invocation_id))

    @override
    def deployment(self, deployment_id: str) -> Deployment | None:
        return self._rows.registry.deployment(deployment_id)

    @override
    def deployment_at(self, uri: str) -> Deployment | None:
        return self._rows.registry.deployment_at(uri)

    @override
    def deployments(self) -> list[Deployment]:
        return self._rows.registry.deployments()

    @override
    def service(self, name: str) -> ServiceRecord | None:
        return self._rows.registry.service(name)

    @override
    def service_at(self, name: str, deployment_id: str) -> ServiceRecord | None:
        return self._rows.registry.service_at(name, deployment_id)

    @override
    def services(self) -> list[ServiceRecord]:
        return self._rows.registry.services()

    @override
    def services_of(self, deployment_id: str) -> list[ServiceRecord]:
        return self._rows.registry.services_of(deployment_id)

    @override
    def lease(self) -> Lease:
        return self._rows.lease
