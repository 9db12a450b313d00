"""What every store promises, on each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durably.engine.records import (
    Failure,
    InboxItem,
    Lease,
    Promise,
    PromiseWaiter,
    StateEdit,
    Status,
    Timer,
    TimerKind,
    Waiter,
)
from durably.engine.store.contract import Store, Transaction
from durably.engine.store.memory import MemoryStore
from durably.engine.store.sqlite import SqliteStore
from durably.errors import StoreError, StoreFencedError
from tests.engine.store.samples import IDS, advance, deployment, entries, everything, invocation, service

Write = Callable[[Transaction], object]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each store, empty."""
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "engine.db"))
    yield made
    made.close()


def write(store: Store, *works: Write) -> None:
    """Do works in one transaction."""
    transaction = store.begin()
    for work in works:
        work(transaction)
    store.commit()


def with_invocations(*ids: str) -> Write:
    """Insert invocations, oldest first."""

    def work(transaction: Transaction) -> None:
        for name in ids:
            transaction.insert_invocation(invocation(name))

    return work


def fill(transaction: Transaction) -> None:
    """Write a row of every kind."""
    with_invocations(*IDS)(transaction)
    row = transaction.invocation("inv_a")
    assert row is not None
    advance(row, 1)
    transaction.put_invocation(row)
    transaction.put_result("inv_a", Failure(409, "no", (("a", "1"), ("a", "2"))))
    transaction.put_result("inv_b", b"")
    transaction.append_entries("inv_a", entries(0, None, 5, "5", None))
    transaction.put_timer(Timer(9, TimerKind.SLEEP, "inv_a", 3))
    transaction.put_lock("Cart", "k", "inv_a")
    transaction.push_inbox("Cart", "k", "inv_b", None, 4)
    transaction.push_inbox("Cart", "", None, StateEdit({b"\xff": b"\0"}, "v"), 5)
    transaction.put_state("Cart", "k", b"a", b"1")
    transaction.put_promise(Promise("Cart", "k", "p", Failure(500, "bad"), 6))
    transaction.add_promise_waiter(PromiseWaiter("Cart", "k", "", "inv_c", 8))
    transaction.add_waiter(Waiter("inv_a", "inv_b", 2, 0x800D))
    transaction.put_deployment(deployment())
    transaction.put_service(service())
    transaction.put_lease(Lease(3, "me", "http://me", 99))


def test_what_is_committed_is_read(store: Store):
    """A transaction sees its own writes, and after the commit a reader sees the same."""
    transaction = store.begin()
    fill(transaction)
    inside = everything(transaction)
    store.commit()
    assert store.read(everything) == inside
    assert inside != {}


def test_what_is_rolled_back_never_was(store: Store):
    """A rollback undoes rows of every kind, on top of rows that stay."""
    empty = store.read(everything)
    fill(store.begin())
    store.rollback()
    assert store.read(everything) == empty
    write(store, fill)
    before = store.read(everything)
    transaction = store.begin()
    for name in IDS:
        transaction.delete_timers(name)
        transaction.delete_waits_of(name)
        transaction.delete_waiters(name)
        transaction.delete_promise_waits_of(name)
        transaction.delete_from_inbox(name)
        transaction.delete_invocation(name)
    transaction.delete_lock("Cart", "k")
    transaction.clear_state("Cart", "k")
    transaction.delete_promises("Cart", "k")
    transaction.delete_deployment("dp_1")
    transaction.put_lease(Lease())
    assert everything(transaction) != before
    store.rollback()
    assert store.read(everything) == before


def test_a_failed_piece_is_undone_alone(store: Store):
    """Rolling back to a mark keeps what was written before it, and the transaction goes on."""
    transaction = store.begin()
    store.mark()
    with_invocations("inv_a")(transaction)
    store.mark()
    row = transaction.invocation("inv_a")
    assert row is not None
    row.status = Status.PAUSED
    transaction.put_invocation(row)
    with_invocations("inv_b")(transaction)
    transaction.put_deployment(deployment())
    store.rollback_to_mark()
    with_invocations("inv_c")(transaction)
    store.commit()
    found = store.read(lambda reader: [reader.invocation(name) for name in ("inv_a", "inv_b", "inv_c")])
    assert found == [invocation("inv_a"), None, invocation("inv_c")]
    assert store.read(lambda reader: reader.deployments()) == []


def test_a_change_counts_once_it_is_put_back(store: Store):
    """What was changed and not put back is forgotten by a rollback."""
    write(store, with_invocations("inv_a"))
    row = store.begin().invocation("inv_a")
    assert row is not None
    row.status = Status.COMPLETED
    store.rollback()
    assert store.begin().invocation("inv_a") == invocation("inv_a")
    store.rollback()


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_seeds_have_64_bits(store: Store, seed: int):
    """The random seed comes back as it was, over the whole range of an unsigned integer."""
    write(store, lambda transaction: transaction.insert_invocation(invocation(seed=seed)))
    assert store.read(lambda reader: reader.invocation("inv_a")) == invocation(seed=seed)


@pytest.mark.parametrize("number", range(12))
def test_every_field_comes_back(store: Store, number: int):
    """Each field that may change is stored, set or not."""
    row = invocation()
    advance(row, number)
    write(store, with_invocations("inv_a"), lambda transaction: transaction.put_invocation(row))
    expected = invocation()
    advance(expected, number)
    assert store.read(lambda reader: reader.invocation("inv_a")) == expected


def test_handles_are_told_apart(store: Store):
    """5 and "5" are different handles, and the first notification of a handle counts."""
    write(
        store,
        with_invocations("inv_a", "inv_b"),
        lambda transaction: transaction.append_entries("inv_a", entries(0, 5, "5", None, 5)),
    )
    assert store.read(lambda reader: reader.notified("inv_a", [5, "5", 6, "6"])) == {5: False, "5": True}
    assert store.read(lambda reader: reader.notified("inv_a", [5, "5"], 1)) == {5: True, "5": True}
    assert store.read(lambda reader: reader.notified("inv_a", [5, "5"], 2)) == {5: True}
    assert store.read(lambda reader: reader.notified("inv_b", [5])) == {}
    assert store.read(lambda reader: reader.notified("inv_x", [5])) == {}


def test_journals_do_not_mix(store: Store):
    """A journal ends where it ends, also when another invocation's follows it; deleting one leaves the other."""
    write(
        store,
        with_invocations("inv_a", "inv_b"),
        lambda transaction: transaction.append_entries("inv_b", entries(0, None)),
        lambda transaction: transaction.append_entries("inv_a", entries(0, None, 1)),
        lambda transaction: transaction.append_entries("inv_a", entries(2, None)),
    )
    expected = entries(0, None, 1) + entries(2, None)
    assert store.read(lambda reader: reader.entries("inv_a")) == expected
    assert store.read(lambda reader: reader.entries("inv_a", 2)) == expected[:2]
    assert store.read(lambda reader: reader.entries("inv_a", 99)) == expected
    write(store, lambda transaction: transaction.delete_journal("inv_a"))
    assert store.read(lambda reader: (reader.entries("inv_a"), reader.entries("inv_b"))) == ([], entries(0, None))


def test_timers_are_due_in_their_order(store: Store):
    """The earliest comes first, then that of the oldest invocation; a timer replaces one with its key."""
    timers = [
        Timer(7, TimerKind.SLEEP, "inv_a", 1),
        Timer(7, TimerKind.RETRY, "inv_b", 0),
        Timer(7, TimerKind.SLEEP, "inv_b", 2),
        Timer(3, TimerKind.START, "inv_a", 0),
    ]

    def work(transaction: Transaction) -> None:
        transaction.put_timer(Timer(1, TimerKind.START, "inv_a", 0))
        for timer in timers:
            transaction.put_timer(timer)

    write(store, with_invocations("inv_b", "inv_a"), work)
    assert store.read(lambda reader: reader.due_timers(7, 9)) == [timers[3], timers[2], timers[1], timers[0]]
    assert store.read(lambda reader: reader.due_timers(6, 9)) == [timers[3]]
    assert store.read(lambda reader: reader.next_timer()) == 3
    write(store, lambda transaction: transaction.delete_timer("inv_a", TimerKind.START))
    assert store.read(lambda reader: reader.next_timer()) == 7


def test_an_inbox_keeps_its_order(store: Store):
    """Items leave in the order they came, and no sequence is used twice."""
    transaction = store.begin()
    with_invocations(*IDS)(transaction)
    first = transaction.push_inbox("Cart", "k", "inv_b", None, 1)
    second = transaction.push_inbox("Cart", "k", "inv_a", None, 2)
    other = transaction.push_inbox("Cart", "", None, StateEdit({}), 3)
    assert transaction.inbox_head("Cart", "k") == first
    transaction.delete_inbox_item(first.sequence)
    assert transaction.inbox_head("Cart", "k") == second
    transaction.delete_from_inbox("inv_a")
    assert transaction.inbox_head("Cart", "k") is None
    transaction.delete_inbox_item(other.sequence)
    third = transaction.push_inbox("Cart", "k", None, StateEdit({b"a": b""}, None), 4)
    assert third.sequence > other.sequence > second.sequence > first.sequence
    store.commit()
    assert store.read(lambda reader: reader.inbox_head("Cart", "k")) == InboxItem(
        third.sequence, "Cart", "k", None, StateEdit({b"a": b""}, None), 4
    )


def test_state_can_be_replaced(store: Store):
    """Replacing removes every old value; names sort bytewise."""
    write(
        store,
        lambda transaction: transaction.put_state("Cart", "k", b"old", b"1"),
        lambda transaction: transaction.put_state("Cart", "", b"other", b"1"),
        lambda transaction: transaction.replace_state("Cart", "k", {b"\xff": b"1", b"": b"2", b"a": b""}),
    )
    assert store.read(lambda reader: reader.state_names("Cart", "k")) == [b"", b"a", b"\xff"]
    assert store.read(lambda reader: reader.state_value("Cart", "k", b"a")) == b""
    assert store.read(lambda reader: reader.state_names("Cart", "")) == [b"other"]


def test_a_big_value_comes_back(store: Store):
    """A value of a megabyte is one row like others."""
    big = bytes(range(256)) * 4096
    write(
        store,
        with_invocations("inv_a"),
        lambda transaction: transaction.put_state("Cart", "k", b"a", big),
        lambda transaction: transaction.put_result("inv_a", big),
    )
    assert store.read(lambda reader: (reader.state_value("Cart", "k", b"a"), reader.result("inv_a"))) == (big, big)


def test_deleting_what_is_not_there_is_no_error(store: Store):
    """Every delete accepts a key that does not exist."""

    def work(transaction: Transaction) -> None:
        transaction.delete_invocation("inv_x")
        transaction.delete_journal("inv_x")
        transaction.delete_timer("inv_x", TimerKind.SLEEP, 1)
        transaction.delete_timers("inv_x")
        transaction.delete_lock("Cart", "x")
        transaction.delete_inbox_item(99)
        transaction.delete_from_inbox("inv_x")
        transaction.delete_state("Cart", "x", b"")
        transaction.clear_state("Cart", "x")
        transaction.delete_promise_waiters("Cart", "x", "")
        transaction.delete_promise_waits_of("inv_x")
        transaction.delete_promises("Cart", "x")
        transaction.delete_waiters("inv_x")
        transaction.delete_waits_of("inv_x")
        transaction.delete_deployment("dp_x")
        transaction.delete_service("Cart", 9)

    before = store.read(everything)
    write(store, work)
    assert store.read(everything) == before


def test_what_contradicts_the_store_is_refused(store: Store):
    """A second invocation with an id, rows of an unknown one, and a change of an unknown one are errors."""
    write(store, with_invocations("inv_a"))
    transaction = store.begin()
    with pytest.raises(StoreError):
        transaction.insert_invocation(invocation("inv_a"))
    with pytest.raises(StoreError):
        transaction.put_invocation(invocation("inv_x"))
    store.rollback()
    assert store.read(lambda reader: reader.invocation("inv_a")) == invocation("inv_a")


def test_an_older_epoch_is_fenced_off(store: Store):
    """Once another engine has taken over, no transaction begins; and one of the right epoch does."""
    write(store, lambda transaction: transaction.put_lease(Lease(4, "me")))
    store.fence(4)
    write(store, lambda transaction: transaction.put_lease(Lease(5, "other")))
    with pytest.raises(StoreFencedError) as caught:
        store.begin()
    assert (caught.value.epoch, caught.value.current) == (4, 5)
    store.fence(5)
    write(store, with_invocations("inv_a"))
    store.fence(None)
    write(store, lambda transaction: transaction.put_lease(Lease(9)))
    store.begin()
    store.rollback()


def test_readers_see_committed_states_only(store: Store):
    """While a thread writes pairs of rows, readers on other threads see both of a pair or none."""
    torn: list[object] = []
    is_done = threading.Event()

    def look() -> None:
        while not is_done.is_set():
            pair = store.read(
                lambda reader: (reader.state_value("Cart", "k", b"a"), reader.state_value("Cart", "k", b"b"))
            )
            if pair[0] != pair[1]:
                torn.append(pair)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        transaction = store.begin()
        transaction.put_state("Cart", "k", b"a", str(number).encode())
        transaction.put_state("Cart", "k", b"b", str(number).encode())
        store.commit()
    is_done.set()
    for thread in threads:
        thread.join()
    assert torn == []


def test_misuse_is_refused(store: Store):
    """Reading between begin and commit of one thread, and using a closed store, are errors and do no harm."""
    transaction = store.begin()
    with pytest.raises(StoreError):
        store.read(everything)
    with_invocations("inv_a")(transaction)
    store.commit()
    assert store.read(lambda reader: reader.invocation("inv_a")) == invocation("inv_a")
    store.rollback()
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.begin()
    with pytest.raises(StoreError):
        store.read(everything)


def test_an_error_in_a_reader_passes_through(store: Store):
    """What the work of a reader raises reaches its caller, and reading goes on."""
    with pytest.raises(KeyError):
        store.read(lambda _: {}["missing"])
    assert store.read(lambda reader: reader.deployments()) == []
