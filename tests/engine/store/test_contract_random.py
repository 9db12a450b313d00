"""Random sequences of everything a store can do give the same reads on every store.

The store in memory is the model: a few dictionaries and an undo log. The file is driven through rollbacks to a mark and
to the beginning, crashes, starts, checkpoints, forgotten caches and take-overs; after every step both are asked all
that a reader can be asked, and while a transaction is open another thread still sees what was committed last.
"""

from __future__ import annotations

import inspect
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from durably.engine.records import (
    Failure,
    Lease,
    Promise,
    PromiseWaiter,
    StateEdit,
    Status,
    Timer,
    TimerKind,
    Waiter,
)
from durably.engine.store.contract import Reader, Store, Transaction
from durably.engine.store.memory import MemoryStore
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreFencedError
from tests.engine.store.samples import (
    DEPLOYMENTS,
    HANDLES,
    IDS,
    NAMES,
    OBJECTS,
    PROMISES,
    advance,
    count_entries,
    deployment,
    entries,
    everything,
    invocation,
    service,
)

ids = st.sampled_from(IDS)
objects = st.sampled_from(OBJECTS)
names = st.sampled_from(NAMES)
promises = st.sampled_from(PROMISES)
small = st.integers(0, 12)
results = st.sampled_from([b"", b"value", Failure(409, "cancelled"), Failure(500, "no ✓", (("a", "1"), ("a", "2")))])
values = st.binary(max_size=3) | st.sampled_from([5_000, 70_000]).map(bytes)  # in a row, in pages of its own, uncopied
edits = st.sampled_from([None, StateEdit({}), StateEdit({b"\xff": b"", b"": b"1"}, "v")])


class Stores(RuleBasedStateMachine):
    """Both stores, given the same writes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = SqliteStore(str(Path(self.folder.name) / "engine.db"))
        self.stores: list[Store] = [MemoryStore(), self.file]
        self.transactions: list[Transaction] = []
        self.is_marked = False
        self.epoch: int | None = None
        self.elsewhere = ThreadPoolExecutor(1)
        self.committed = [self.read_elsewhere(store) for store in self.stores]

    def teardown(self) -> None:
        """Remove the file."""
        for store in self.stores:
            store.close()
        self.elsewhere.shutdown()
        self.folder.cleanup()

    def read_elsewhere(self, store: Store) -> dict[str, object]:
        """Ask a store on another thread."""
        return self.elsewhere.submit(store.read, everything).result()

    def begin(self) -> None:
        """Have a transaction open on both."""
        if not self.transactions:
            self.transactions = [store.begin() for store in self.stores]

    def ended(self) -> None:
        """Note that no transaction is open; what is seen now is what others see until the next commit."""
        self.transactions, self.is_marked = [], False
        self.committed = [self.read_elsewhere(store) for store in self.stores]

    def write(self, operation: str, *arguments: object) -> None:
        """Do the same on both, in an open transaction."""
        self.begin()
        first, second = (getattr(transaction, operation)(*arguments) for transaction in self.transactions)
        assert first == second

    def exists(self, name: str) -> bool:
        """Tell whether there is an invocation now."""
        if self.transactions:
            return self.transactions[0].invocation(name) is not None
        return self.stores[0].read(lambda reader: reader.invocation(name)) is not None

    @invariant()
    def the_same_is_read(self) -> None:
        """Within a transaction, and after it on a reader, both stores tell the same."""
        if self.transactions:
            first, second = (everything(transaction) for transaction in self.transactions)
        else:
            first, second = (store.read(everything) for store in self.stores)
        assert first == second

    # ---- transactions

    @precondition(lambda self: self.transactions)
    @rule()
    def commit(self) -> None:
        """End the transaction."""
        for store in self.stores:
            store.commit()
        self.ended()
        self.take_the_lead(None)

    @precondition(lambda self: self.transactions)
    @rule()
    def rollback(self) -> None:
        """Undo the transaction."""
        for store in self.stores:
            store.rollback()
        before = self.committed
        self.ended()
        assert self.committed == before

    @precondition(lambda self: self.transactions)
    @rule()
    def mark(self) -> None:
        """Remember this point."""
        for store in self.stores:
            store.mark()
        self.is_marked = True

    @precondition(lambda self: self.is_marked)
    @rule()
    def rollback_to_mark(self) -> None:
        """Undo a part."""
        for store in self.stores:
            store.rollback_to_mark()

    @precondition(lambda self: self.transactions)
    @rule()
    def others_see_what_was_committed(self) -> None:
        """A reader of the file sees nothing of an open transaction; one in memory waits for its end."""
        assert self.read_elsewhere(self.file) == self.committed[1]

    @precondition(lambda self: not self.transactions)
    @rule()
    def reopen(self) -> None:
        """Close and open the file; the store in memory stays."""
        self.file.close()
        self.replace_file()

    @rule()
    def crash(self) -> None:
        """Lose the file's process, in the middle of a transaction if there is one."""
        if self.transactions:
            self.stores[0].rollback()
        lost = self.file
        lost._connection.close()  # as a kill does it: no commit, no checkpoint
        self.replace_file()
        lost.close()
        before = self.committed
        self.ended()
        assert self.committed == before

    def replace_file(self) -> None:
        """Open the file again."""
        self.file = SqliteStore(self.file.path)
        self.file.fence(self.epoch)
        self.stores[1] = self.file

    @precondition(lambda self: not self.transactions)
    @rule()
    def forget(self) -> None:
        """What the writer remembers is only what it need not read."""
        self.file._transaction.forget()

    @precondition(lambda self: not self.transactions)
    @rule(epoch=st.none() | st.integers(0, 2))
    def take_the_lead(self, epoch: int | None) -> None:
        """Only who knows the epoch of the file may begin."""
        current = self.stores[0].read(lambda reader: reader.lease()).epoch
        self.epoch = current if epoch is None else epoch
        for store in self.stores:
            store.fence(self.epoch)
            if self.epoch != current:
                with pytest.raises(StoreFencedError):
                    store.begin()
                store.rollback()
                store.fence(current)
        self.epoch = current

    @precondition(lambda self: not self.transactions)
    @rule(truncate=st.booleans())
    def checkpoint(self, truncate: bool) -> None:
        """Move what is in the log to where it belongs."""
        assert self.file.checkpoint(truncate=truncate)

    # ---- invocations and journals

    @initialize(order=st.permutations(IDS))
    def insert_all(self, order: list[str]) -> None:
        """Begin with something to write about."""
        for name in order:
            self.write("insert_invocation", invocation(name))

    @rule(name=ids, parent=st.none() | ids, seed=st.integers(0, 2**64 - 1))
    def insert(self, name: str, parent: str | None, seed: int) -> None:
        """A new invocation."""
        if not self.exists(name):
            self.write("insert_invocation", invocation(name, parent, seed))

    @rule(name=ids, number=st.integers(1, 9), status=st.sampled_from(Status))
    def take_step(self, name: str, number: int, status: Status) -> None:
        """What changes with a step, and now and then the status with it."""
        if not self.exists(name):
            return
        self.begin()
        for transaction in self.transactions:
            row = transaction.invocation(name)
            assert row is not None
            row.journal_length, row.command_count, row.last_entry_at = number, number + 1, number + 2
            row.status = status if number > 5 else row.status
            count_entries(transaction, row)
            transaction.put_invocation(row)

    @rule(name=ids, number=st.integers(0, 400))
    def change(self, name: str, number: int) -> None:
        """Every field that may change, on the object that the store gives out."""
        if not self.exists(name):
            return
        self.begin()
        for transaction in self.transactions:
            row = transaction.invocation(name)
            assert row is not None
            advance(row, number)
            count_entries(transaction, row)
            transaction.put_invocation(row)

    @rule(name=ids, is_meant=st.integers(0, 3))
    def delete(self, name: str, is_meant: int) -> None:
        """An invocation, after what hangs on it; now and then."""
        if is_meant:
            return
        for operation in (
            "delete_timers",
            "delete_waits_of",
            "delete_waiters",
            "delete_promise_waits_of",
            "delete_from_inbox",
            "delete_invocation",
        ):
            self.write(operation, name)

    @rule(name=ids, result=results)
    def put_result(self, name: str, result: bytes | Failure) -> None:
        """A result, in place of one."""
        if self.exists(name):
            self.write("put_result", name, result)

    @rule(name=ids, handles=st.lists(st.none() | st.sampled_from(HANDLES), max_size=4))
    def append(self, name: str, handles: list[int | str | None]) -> None:
        """Entries at the end of a journal."""
        if self.exists(name):
            self.begin()
            first = len(self.transactions[0].entries(name))
            self.write("append_entries", name, entries(first, *handles))
            self.grow(name)

    @rule(name=ids, length=st.integers(1, 40), first=st.sampled_from([1, 5, 60, 2**31]))
    def append_many(self, name: str, length: int, first: int) -> None:
        """The results of many steps."""
        if self.exists(name):
            self.begin()
            at = len(self.transactions[0].entries(name))
            self.write("append_entries", name, entries(at, *range(first, first + length)))
            self.grow(name)

    def grow(self, name: str) -> None:
        """Tell of the new entries of one that runs, as the core does."""
        for transaction in self.transactions:
            row = transaction.invocation(name)
            assert row is not None
            if row.status is Status.RUNNING:
                count_entries(transaction, row)
                transaction.grow_invocation(row)

    @rule(name=ids)
    def delete_journal(self, name: str) -> None:
        """A whole journal, of one that does not run."""
        self.begin()
        row = self.transactions[0].invocation(name)
        if row is None or row.status is not Status.RUNNING:
            self.write("delete_journal", name)

    # ---- timers, keys, state

    @rule(name=ids, kind=st.sampled_from(TimerKind), completion_id=st.integers(0, 2), due_at=st.integers(0, 2))
    def put_timer(self, name: str, kind: TimerKind, completion_id: int, due_at: int) -> None:
        """A timer, in place of one."""
        if self.exists(name):
            self.write("put_timer", Timer(due_at, kind, name, completion_id))

    @rule(name=ids, kind=st.sampled_from(TimerKind), completion_id=st.integers(0, 2))
    def delete_timer(self, name: str, kind: TimerKind, completion_id: int) -> None:
        """One timer."""
        self.write("delete_timer", name, kind, completion_id)

    @rule(where=objects, name=ids)
    def lock(self, where: tuple[str, str], name: str) -> None:
        """A lock changes hands."""
        self.write("put_lock", *where, name)

    @rule(where=objects)
    def unlock(self, where: tuple[str, str]) -> None:
        """A lock is free."""
        self.write("delete_lock", *where)

    @rule(where=objects, name=ids, edit=edits, now_ms=small)
    def push_inbox(self, where: tuple[str, str], name: str, edit: StateEdit | None, now_ms: int) -> None:
        """An edit, or an invocation."""
        if edit is not None or self.exists(name):
            self.write("push_inbox", *where, None if edit else name, edit, now_ms)

    @rule(sequence=st.integers(1, 6))
    def delete_inbox_item(self, sequence: int) -> None:
        """One item, from anywhere."""
        self.write("delete_inbox_item", sequence)

    @rule(where=objects, name=names, value=values)
    def put_state(self, where: tuple[str, str], name: bytes, value: bytes) -> None:
        """One value."""
        self.write("put_state", *where, name, value)

    @rule(where=objects, name=names)
    def delete_state(self, where: tuple[str, str], name: bytes) -> None:
        """One value."""
        self.write("delete_state", *where, name)

    @rule(where=objects, state=st.none() | st.dictionaries(names, values))
    def replace_state(self, where: tuple[str, str], state: dict[bytes, bytes] | None) -> None:
        """All values."""
        if state is None:
            self.write("clear_state", *where)
        else:
            self.write("replace_state", *where, state)

    # ---- promises, waiters, registry

    @rule(where=objects, name=promises, result=results, now_ms=small)
    def put_promise(self, where: tuple[str, str], name: str, result: bytes | Failure, now_ms: int) -> None:
        """A promise is completed."""
        self.write("put_promise", Promise(*where, name, result, now_ms))

    @rule(where=objects, promise=promises, name=ids, completion_id=small)
    def add_promise_waiter(self, where: tuple[str, str], promise: str, name: str, completion_id: int) -> None:
        """Somebody awaits a promise."""
        if self.exists(name):
            self.write("add_promise_waiter", PromiseWaiter(*where, promise, name, completion_id))

    @rule(where=objects, promise=st.none() | promises)
    def delete_promises(self, where: tuple[str, str], promise: str | None) -> None:
        """Those who await one, or all of a key."""
        if promise is None:
            self.write("delete_promises", *where)
        else:
            self.write("delete_promise_waiters", *where, promise)

    @rule(name=ids, waiter=ids, completion_id=small)
    def add_waiter(self, name: str, waiter: str, completion_id: int) -> None:
        """Somebody awaits an invocation."""
        if self.exists(name) and self.exists(waiter):
            self.write("add_waiter", Waiter(name, waiter, completion_id, 0x800D))

    @rule(name=ids)
    def delete_waiters(self, name: str) -> None:
        """An invocation is awaited no more."""
        self.write("delete_waiters", name)

    @rule(name=st.sampled_from(DEPLOYMENTS), created_at=small)
    def put_deployment(self, name: str, created_at: int) -> None:
        """A deployment, in place of one."""
        uri = {"dp_1": "http://one", "dp_2": "http://two"}[name]
        self.write("put_deployment", deployment(name, uri, created_at))

    @rule(name=st.sampled_from(DEPLOYMENTS))
    def delete_deployment(self, name: str) -> None:
        """A deployment with all on it."""
        self.write("delete_deployment", name)

    @rule(name=st.sampled_from(["Cart", "Other"]), revision=st.integers(1, 3), on=st.sampled_from(DEPLOYMENTS))
    def put_service(self, name: str, revision: int, on: str) -> None:
        """A revision, in place of one."""
        self.write("put_service", service(name, revision, on))

    @rule(name=st.sampled_from(["Cart", "Other"]), revision=st.integers(1, 3))
    def delete_service(self, name: str, revision: int) -> None:
        """A revision."""
        self.write("delete_service", name, revision)

    @rule(epoch=small)
    def put_lease(self, epoch: int) -> None:
        """Somebody else drives."""
        self.write("put_lease", Lease(epoch, "me", "", epoch))


def test_every_operation_is_among_them():
    """A write that is added to the contract is added here."""
    own = {name for name in vars(Transaction) if not name.startswith("_")} - set(vars(Reader))
    text = inspect.getsource(Stores)
    assert {name for name in own if f'"{name}"' not in text and f".{name}(" not in text} == set()


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
