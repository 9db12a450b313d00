"""What the state machine asks of a store.

Rules

1. One transaction is open at a time, the writer's. It sees its own writes. Nothing it
   wrote is visible to readers before `Store.commit` returned, and all of it survives a crash after.
2. Typed rows in, typed rows out: callers see no SQL. Each method costs an index look-up or a range
   of one index; none grows with the number of completed invocations.
3. `invocation` gives an object that the caller may change and must then put back with
   `put_invocation` before it asks for the same invocation again or commits. A store may give out the same
   object again; it forgets all of them when it rolls back, also to a mark.
4. What does not exist is None, an empty list or an empty mapping; deleting it is no error.
5. Values are opaque: keys, names and bodies may hold any character and any byte, "" and b"" too.
   Only deployment ids and `attempt_server` are never "".
6. Entries, results, timers, inbox items, waiters and promise waiters are stored for invocations that exist.

Indexes wanted, besides the keys named with each record:

    invocations   (parent_id), (expires_at), (journal_expires_at), (id where status is RUNNING or
                  BACKING_OFF)
    entries       (invocation_id, index)
    timers        (due_at, kind, invocation_id, completion_id), (invocation_id)
    inbox         (service, key, sequence), (invocation_id)
    waiters       (waiter_id, completion_id), (invocation_id)
    promise waiters (invocation_id, completion_id), (service, key, name)
    services      (name, revision), (deployment_id)
    deployments   (uri)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

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

__all__ = ["Reader", "Store", "Transaction"]

T = TypeVar("T")


class Reader(Protocol):
    """Reads, from one state of the store."""

    # ---- invocations

    def invocation(self, invocation_id: str) -> Invocation | None:
        """Give one invocation; see rule 3."""
        ...

    def result(self, invocation_id: str) -> Result:
        """Give the result of a completed invocation: bytes or a `Failure`; None when there is none."""
        ...

    def children(self, invocation_id: str) -> list[str]:
        """Give the ids of the invocations whose `parent_id` it is, in any order."""
        ...

    def running(self, after: str, limit: int) -> list[str]:
        """Give up to `limit` ids of RUNNING and BACKING_OFF invocations that sort after `after`, in order."""
        ...

    def expired(self, now_ms: int, limit: int) -> list[str]:
        """Give up to `limit` ids of invocations whose `expires_at` is at or before `now_ms`, earliest first."""
        ...

    def journals_expired(self, now_ms: int, limit: int) -> list[str]:
        """Give up to `limit` ids of invocations whose `journal_expires_at` is at or before `now_ms`, earliest first."""
        ...

    def next_expiry(self) -> int | None:
        """Give the earliest `expires_at` or `journal_expires_at` of all, or None."""
        ...

    # ---- journals

    def entries(self, invocation_id: str, stop: int | None = None) -> list[JournalEntry]:
        """Give the journal from index 0 up to, without, `stop`, in order; None for all of it."""
        ...

    def notified(self, invocation_id: str, handles: Collection[Handle], start: int = 0) -> dict[Handle, bool]:
        """Tell which handles have notifications in the journal, and whether they are failures.

        Args:
            invocation_id: Whose journal.
            handles: Any number of them, ints and strs mixed; 5 and "5" are different handles.
            start: Entries with a lower index do not count.

        Returns:
            For each handle that has one: whether its first notification from `start` on `failed`.
        """
        ...

    # ---- timers

    def due_timers(self, now_ms: int, limit: int) -> list[Timer]:
        """Give up to `limit` timers due at or before `now_ms`, earliest first, then of the oldest invocation."""
        ...

    def next_timer(self) -> int | None:
        """Give the earliest `due_at` of all timers, or None."""
        ...

    # ---- keys

    def lock_holder(self, service: str, key: str) -> str | None:
        """Give the invocation that holds the lock of an object's key."""
        ...

    def inbox_head(self, service: str, key: str) -> InboxItem | None:
        """Give the item with the lowest sequence of a key."""
        ...

    # ---- state

    def state_value(self, service: str, key: str, name: bytes) -> bytes | None:
        """Give one value of a key's state."""
        ...

    def state_names(self, service: str, key: str) -> list[bytes]:
        """Give the names of a key's state, sorted bytewise."""
        ...

    def state_items(self, service: str, key: str) -> Iterator[tuple[bytes, bytes]]:
        """Give names and values of a key's state, sorted bytewise by name; lazily: the caller may stop."""
        ...

    # ---- promises

    def promise(self, service: str, key: str, name: str) -> Promise | None:
        """Give a completed promise."""
        ...

    def promise_waiters(self, service: str, key: str, name: str) -> list[PromiseWaiter]:
        """Give who awaits a promise: the oldest invocation first, each in the order of its completions."""
        ...

    # ---- waiters

    def waiters(self, invocation_id: str) -> list[Waiter]:
        """Give who awaits an invocation: the oldest invocation first, each in the order of its completions."""
        ...

    # ---- registry; asked for with every call, so worth keeping in memory

    def deployment(self, deployment_id: str) -> Deployment | None:
        """Give one deployment."""
        ...

    def deployment_at(self, uri: str) -> Deployment | None:
        """Give the deployment with this uri."""
        ...

    def deployments(self) -> list[Deployment]:
        """Give all deployments, oldest first."""
        ...

    def service(self, name: str) -> ServiceRecord | None:
        """Give the latest revision of a service."""
        ...

    def service_at(self, name: str, deployment_id: str) -> ServiceRecord | None:
        """Give the highest revision of a service on a deployment."""
        ...

    def services(self) -> list[ServiceRecord]:
        """Give the latest revision of every service, sorted by name."""
        ...

    def services_of(self, deployment_id: str) -> list[ServiceRecord]:
        """Give every revision on a deployment, sorted by name, then by revision."""
        ...

    # ---- who drives the store

    def lease(self) -> Lease:
        """Give who drives the store; epoch 0 and owner "" when nobody ever did."""
        ...


class Transaction(Reader, Protocol):
    """Reads and writes of the one open transaction."""

    # ---- invocations

    def insert_invocation(self, invocation: Invocation) -> None:
        """Store a new invocation; its id is not in use. From here on rule 3 holds for the object."""
        ...

    def put_invocation(self, invocation: Invocation) -> None:
        """Store the changed fields of an invocation; those listed as fixed at creation do not change."""
        ...

    def grow_invocation(self, invocation: Invocation) -> None:
        """Take note that of a RUNNING invocation nothing changed but what its new entries tell.

        That is `journal_length`, `command_count`, and `last_entry_at`, which is when its last command was appended. A
        store may write them later, and count those entries when it reads the invocation.
        """
        ...

    def delete_invocation(self, invocation_id: str) -> None:
        """Delete an invocation with its journal and result. Its timers, waiters and places are gone already."""
        ...

    def put_result(self, invocation_id: str, result: Result) -> None:
        """Store the result of an invocation: bytes or a `Failure`."""
        ...

    # ---- journals

    def append_entries(self, invocation_id: str, entries: Sequence[JournalEntry]) -> None:
        """Append to a journal; the indexes continue it without a gap. Entries are never changed."""
        ...

    def delete_journal(self, invocation_id: str) -> None:
        """Delete all entries of an invocation."""
        ...

    # ---- timers

    def put_timer(self, timer: Timer) -> None:
        """Store a timer, in place of one with the same key."""
        ...

    def delete_timer(self, invocation_id: str, kind: TimerKind, completion_id: int = 0) -> None:
        """Delete one timer."""
        ...

    def delete_timers(self, invocation_id: str) -> None:
        """Delete all timers of an invocation."""
        ...

    # ---- keys

    def put_lock(self, service: str, key: str, invocation_id: str) -> None:
        """Give the lock of an object's key to an invocation, in place of its holder."""
        ...

    def delete_lock(self, service: str, key: str) -> None:
        """Free the lock of an object's key."""
        ...

    def push_inbox(
        self, service: str, key: str, invocation_id: str | None, edit: StateEdit | None, now_ms: int
    ) -> InboxItem:
        """Queue an invocation or an edit at the end of a key's inbox, with the next sequence of all."""
        ...

    def delete_inbox_item(self, sequence: int) -> None:
        """Delete one item."""
        ...

    def delete_from_inbox(self, invocation_id: str) -> None:
        """Delete the item of an invocation."""
        ...

    # ---- state

    def put_state(self, service: str, key: str, name: bytes, value: bytes) -> None:
        """Store one value."""
        ...

    def delete_state(self, service: str, key: str, name: bytes) -> None:
        """Delete one value."""
        ...

    def clear_state(self, service: str, key: str) -> None:
        """Delete all values of a key."""
        ...

    def replace_state(self, service: str, key: str, state: Mapping[bytes, bytes]) -> None:
        """Delete all values of a key and store these."""
        ...

    # ---- promises

    def put_promise(self, promise: Promise) -> None:
        """Store a completed promise."""
        ...

    def add_promise_waiter(self, waiter: PromiseWaiter) -> None:
        """Store who awaits a promise."""
        ...

    def delete_promise_waiters(self, service: str, key: str, name: str) -> None:
        """Delete all who await a promise."""
        ...

    def delete_promise_waits_of(self, invocation_id: str) -> None:
        """Delete what an invocation awaits of promises."""
        ...

    def delete_promises(self, service: str, key: str) -> None:
        """Delete all promises of a workflow's key. Who awaits one goes on waiting."""
        ...

    # ---- waiters

    def add_waiter(self, waiter: Waiter) -> None:
        """Store who awaits an invocation."""
        ...

    def delete_waiters(self, invocation_id: str) -> None:
        """Delete all who await an invocation."""
        ...

    def delete_waits_of(self, waiter_id: str) -> None:
        """Delete all that an invocation awaits of others."""
        ...

    # ---- registry

    def put_deployment(self, deployment: Deployment) -> None:
        """Store a deployment, in place of one with the same id."""
        ...

    def delete_deployment(self, deployment_id: str) -> None:
        """Delete a deployment and every revision on it."""
        ...

    def put_service(self, service: ServiceRecord) -> None:
        """Store a revision, in place of one with the same name and revision."""
        ...

    def delete_service(self, name: str, revision: int) -> None:
        """Delete one revision."""
        ...

    # ---- who drives the store

    def put_lease(self, lease: Lease) -> None:
        """Store who drives the store, in place of the last one."""
        ...


class Store(Protocol):
    """A store with one writer and any number of readers.

    `read`, `fence` and `close` are for any thread; everything else is the writer's, who may begin on one thread and
    commit on another. `read` does not work on the thread that began the open transaction.
    """

    def begin(self) -> Transaction:
        """Open the transaction. It hardly waits: where the store is busy, try again.

        Raises:
            StoreError: It cannot be written to now; see the subclasses.
        """
        ...

    def commit(self) -> None:
        """Make it durable. When this returns, what it produced may be acknowledged.

        Raises:
            StoreError: Nothing of it is acknowledged; whether it is stored depends on the subclass.
        """
        ...

    def rollback(self) -> None:
        """Forget the open transaction and every object that it gave out."""
        ...

    def mark(self) -> None:
        """Remember this point of the open transaction, in place of the last mark."""
        ...

    def rollback_to_mark(self) -> None:
        """Undo what was written since the mark, and forget every object given out; the transaction stays open."""
        ...

    def fence(self, epoch: int | None) -> None:
        """From now on refuse to begin unless the lease in the store has this epoch; None accepts any.

        `begin` raises `StoreFencedError` then: another engine took over.
        """
        ...

    def read(self, work: Callable[[Reader], T]) -> T:
        """Do read-only work on one committed state of the store, on the calling thread."""
        ...

    def close(self) -> None:
        """Close all connections. Afterwards nothing may be called."""
        ...
