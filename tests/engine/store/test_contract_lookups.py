"""Looking rows up by something else than their key, on every store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from durably.engine.records import Promise, PromiseWaiter, Status, Waiter
from durably.engine.store.contract import Store, Transaction
from durably.engine.store.memory import MemoryStore
from durably.engine.store.sqlite import SqliteStore
from tests.engine.store.samples import deployment, invocation, service


@pytest.fixture(params=["memory", "sqlite"])
def transaction(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transaction]:
    """An open transaction of each store, with four invocations; the order of their ids is not that of their ages."""
    store: Store = MemoryStore() if request.param == "memory" else SqliteStore(str(tmp_path / "engine.db"))
    opened = store.begin()
    for name, parent_id in (("inv_d", None), ("inv_b", "inv_d"), ("inv_a", "inv_d"), ("inv_c", "inv_a")):
        opened.insert_invocation(invocation(name, parent_id))
    yield opened
    store.rollback()
    store.close()


def test_running_ones_are_paged_by_id(transaction: Transaction):
    """Pages hold running and backing-off invocations only, continue after the last id, and end."""
    for name, status in (("inv_d", Status.RUNNING), ("inv_b", Status.BACKING_OFF), ("inv_a", Status.RUNNING)):
        transaction.put_invocation(replace(invocation(name), status=status))
    assert transaction.running("", 2) == ["inv_a", "inv_b"]
    assert transaction.running("inv_b", 2) == ["inv_d"]
    assert transaction.running("inv_d", 2) == []
    transaction.put_invocation(replace(invocation("inv_b"), status=Status.SUSPENDED))
    assert transaction.running("", 9) == ["inv_a", "inv_d"]


def test_children_are_those_of_one_parent(transaction: Transaction):
    """Children are found by their parent, directly below it only."""
    assert sorted(transaction.children("inv_d")) == ["inv_a", "inv_b"]
    assert transaction.children("inv_a") == ["inv_c"]
    assert transaction.children("inv_c") == []


def test_expiry_finds_the_earliest_first(transaction: Transaction):
    """Both retentions are due at their time, inclusive, and the next one is the earlier of the two."""
    assert transaction.next_expiry() is None
    for name, expires_at, journal_expires_at in (("inv_a", 9, 4), ("inv_b", 7, None), ("inv_c", None, 6)):
        row = replace(invocation(name), expires_at=expires_at, journal_expires_at=journal_expires_at)
        transaction.put_invocation(row)
    assert transaction.expired(6, 9) == []
    assert transaction.expired(7, 9) == ["inv_b"]
    assert transaction.expired(9, 9) == ["inv_b", "inv_a"]
    assert transaction.expired(9, 1) == ["inv_b"]
    assert transaction.journals_expired(6, 9) == ["inv_a", "inv_c"]
    assert transaction.journals_expired(6, 1) == ["inv_a"]
    assert transaction.next_expiry() == 4
    transaction.put_invocation(replace(invocation("inv_a"), expires_at=0))
    assert transaction.next_expiry() == 0
    assert transaction.expired(0, 9) == ["inv_a"]


def test_waiters_come_oldest_first(transaction: Transaction):
    """Who awaits an invocation is ordered by age, then by completion, and leaves by either end."""
    waiters = [Waiter("inv_a", "inv_d", 2, 1), Waiter("inv_a", "inv_d", 9, 2), Waiter("inv_a", "inv_b", 1, 3)]
    for waiter in reversed(waiters):
        transaction.add_waiter(waiter)
    other = Waiter("inv_c", "inv_b", 2, 4)
    transaction.add_waiter(other)
    assert transaction.waiters("inv_a") == waiters
    transaction.delete_waits_of("inv_d")
    assert transaction.waiters("inv_a") == waiters[2:]
    transaction.delete_waiters("inv_a")
    assert transaction.waiters("inv_a") == []
    assert transaction.waiters("inv_c") == [other]
    transaction.delete_waiters("inv_b")
    assert transaction.waiters("inv_c") == [other]


def test_promise_waiters_come_oldest_first(transaction: Transaction):
    """The same for promises; deleting the promises of a key leaves other keys alone, and who waits waiting."""
    waiters = [PromiseWaiter("W", "k", "p", "inv_d", 5), PromiseWaiter("W", "k", "p", "inv_a", 1)]
    others = [PromiseWaiter("W", "k", "q", "inv_d", 1), PromiseWaiter("W", "", "p", "inv_d", 2)]
    for waiter in (*reversed(waiters), *others):
        transaction.add_promise_waiter(waiter)
    assert transaction.promise_waiters("W", "k", "p") == waiters
    transaction.delete_promise_waiters("W", "k", "p")
    assert transaction.promise_waiters("W", "k", "p") == []
    assert transaction.promise_waiters("W", "k", "q") == others[:1]
    transaction.put_promise(Promise("W", "k", "p", b"", 1))
    transaction.put_promise(Promise("W", "", "p", b"1", 2))
    transaction.delete_promises("W", "k")
    assert transaction.promise("W", "k", "p") is None
    assert transaction.promise("W", "", "p") == Promise("W", "", "p", b"1", 2)
    assert transaction.promise_waiters("W", "k", "q") == others[:1]
    assert transaction.promise_waiters("W", "", "p") == others[1:]
    transaction.delete_promise_waits_of("inv_d")
    assert transaction.promise_waiters("W", "", "p") == []


def test_the_inbox_is_one_queue_for_each_key(transaction: Transaction):
    """Keys and services do not see each other's queues or locks."""
    first = transaction.push_inbox("A", "k", "inv_a", None, 1)
    other = transaction.push_inbox("B", "k", "inv_b", None, 2)
    assert (transaction.inbox_head("A", "k"), transaction.inbox_head("B", "k")) == (first, other)
    assert transaction.inbox_head("A", "") is None
    transaction.put_lock("A", "k", "inv_d")
    assert (transaction.lock_holder("A", "k"), transaction.lock_holder("B", "k")) == ("inv_d", None)


def test_the_latest_revision_counts(transaction: Transaction):
    """A service is its highest revision, on any deployment or on a given one, and falls back when that goes."""
    for number in (1, 2):
        transaction.put_deployment(deployment(f"dp_{number}", f"http://{number}", 10 - number))
    first, second, third = service(), service(revision=2, deployment_id="dp_2"), service(revision=3)
    for record in (second, third, first, service("Other")):
        transaction.put_service(record)
    assert transaction.service("Cart") == third
    assert transaction.service_at("Cart", "dp_2") == second
    assert transaction.service_at("Cart", "dp_x") is None
    assert [record.name for record in transaction.services()] == ["Cart", "Other"]
    assert transaction.services_of("dp_1") == [first, third, service("Other")]
    assert [record.id for record in transaction.deployments()] == ["dp_2", "dp_1"]
    transaction.delete_service("Cart", 3)
    assert transaction.service("Cart") == second
    transaction.delete_deployment("dp_2")
    assert transaction.service("Cart") == first
    assert transaction.deployment_at("http://2") is None
    moved = replace(deployment(), uri="http://moved")
    transaction.put_deployment(moved)
    assert (transaction.deployment_at("http://moved"), transaction.deployment_at("http://1")) == (moved, None)
