"""Copying a store in memory for a query."""

from __future__ import annotations

from durably.engine.query.memory import copy_of
from durably.engine.records import Failure, Invocation, JournalEntry, Promise, PromiseWaiter, Status, TargetKind
from durably.engine.store.memory import MemoryStore
from durably.engine.store.memory_rows import MemoryReader
from durably.protocol.messages import MessageType


def test_a_copy_has_every_row_that_the_views_show() -> None:
    """Invocations with journals and results, locks, queues, state, promises and who awaits them."""
    store = MemoryStore()
    transaction = store.begin()
    for identifier in ("inv_1a", "inv_1b"):
        transaction.insert_invocation(Invocation(identifier, "Flow", "k", "run", TargetKind.WORKFLOW_RUN))
        transaction.append_entries(identifier, [JournalEntry(0, MessageType.INPUT, b""), JournalEntry(1, 0x411, b"")])
    done = transaction.invocation("inv_1a")
    assert done is not None
    done.status = Status.COMPLETED
    transaction.put_invocation(done)
    transaction.put_result("inv_1a", Failure(409, "no"))
    transaction.put_lock("Thing", "k", "inv_1b")
    transaction.push_inbox("Thing", "k", "inv_1a", None, 5)
    transaction.put_state("Thing", "k", b"name", b"value")
    transaction.put_promise(Promise("Flow", "k", "p", b"1", 7))
    transaction.add_promise_waiter(PromiseWaiter("Flow", "k", "q", "inv_1b", 1))
    store.commit()

    def counted(reader: object) -> dict[str, int]:
        assert isinstance(reader, MemoryReader)
        connection = copy_of(reader)
        tables = ("invocations", "entries", "results", "locks", "inbox", "state", "promises", "promise_waiters")
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}

    expected = {"invocations": 2, "entries": 4, "results": 1, "locks": 1}
    assert store.read(counted) == {**expected, "inbox": 1, "state": 1, "promises": 1, "promise_waiters": 1}
