"""A fixed sequence of transactions over every table, and the check of a file that they were cut off in.

The n-th transaction is the same in every run with a seed, and writes n into the state. So a file tells how many
transactions it holds, and must then hold exactly what a store in memory holds after so many.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from durably.engine import faults
from durably.engine.faults import FaultPoint
from durably.engine.records import Failure, Promise, PromiseWaiter, Status, Timer, TimerKind, Waiter
from durably.engine.store.contract import Reader, Store, Transaction
from durably.engine.store.memory import MemoryStore
from durably.engine.store.sqlite import SqliteStore
from tests.engine.store.samples import (
    OBJECTS,
    advance,
    count_entries,
    deployment,
    entries,
    everything,
    invocation,
    service,
)

COUNTER = ("Counter", "n", b"n")


def name_of(number: int) -> str:
    """Give the id of the invocation that a transaction makes."""
    return f"inv_{number:06}"


def transact(transaction: Transaction, number: int, seed: int) -> None:
    """Write what belongs to the `number`-th transaction, 1 and up."""
    random = Random(seed * 1_000_003 + number)
    name, (service_name, key) = name_of(number), random.choice(OBJECTS)
    earlier = name_of(random.randint(max(1, number - 9), number))
    if number == 1:
        transaction.put_deployment(deployment())
        transaction.put_service(service())
    transaction.insert_invocation(invocation(name, earlier if earlier != name else None, random.getrandbits(64)))
    transaction.append_entries(name, entries(0, None, 1, *random.choices([None, 2, "s"], k=random.randint(0, 5))))
    row = transaction.invocation(earlier)
    if row is not None:
        advance(row, random.randint(0, 400))
        count_entries(transaction, row)
        transaction.put_invocation(row)
        transaction.append_entries(earlier, entries(len(transaction.entries(earlier)), None, number))
        if row.status is Status.RUNNING:
            count_entries(transaction, row)
            transaction.grow_invocation(row)
        transaction.put_timer(Timer(number, TimerKind.SLEEP, earlier, number))
        transaction.add_waiter(Waiter(earlier, name, 1, 0x800D))
    transaction.put_state(service_name, key, random.randbytes(1), random.randbytes(random.choice([1, 100, 5000])))
    transaction.put_promise(Promise(service_name, key, "p", Failure(500, "no"), number))
    transaction.add_promise_waiter(PromiseWaiter(service_name, key, "", name, number))
    transaction.push_inbox(service_name, key, name, None, number)
    transaction.put_lock(service_name, key, name)
    if number > 10:
        leave(transaction, name_of(number - 10))
    transaction.put_state(*COUNTER, str(number).encode())


def leave(transaction: Transaction, name: str) -> None:
    """Delete an invocation with all that hangs on it."""
    transaction.put_result(name, b"done")
    transaction.delete_timers(name)
    transaction.delete_waiters(name)
    transaction.delete_waits_of(name)
    transaction.delete_promise_waits_of(name)
    transaction.delete_from_inbox(name)
    transaction.delete_invocation(name)


def run(store: Store, count: int, seed: int, acknowledge: Callable[[int], object], first: int = 1) -> None:
    """Do transactions, passing the fault points that the engine's writer has, and acknowledge each after its commit."""
    for number in range(first, first + count):
        if faults.hook is not None:
            faults.hook(FaultPoint.BEGIN)
        transact(store.begin(), number, seed)
        if faults.hook is not None:
            faults.hook(FaultPoint.COMMIT)
        store.commit()
        if faults.hook is not None:
            faults.hook(FaultPoint.ACKNOWLEDGE)
        acknowledge(number)


def done_in(reader: Reader) -> int:
    """Tell how many transactions a store holds."""
    return int(reader.state_value(*COUNTER) or b"0")


@cache
def expected(count: int, seed: int) -> dict[str, object]:
    """Give all that can be read after so many transactions."""
    store = MemoryStore()
    run(store, count, seed, lambda _: None)
    return store.read(lambda reader: everything(reader, ids_after(count)))


def ids_after(count: int) -> list[str]:
    """Name the invocations that may be there, and one that must not."""
    return [name_of(number) for number in range(max(1, count - 12), count + 2)]


def check(path: str, acknowledged: int, seed: int) -> int:
    """Open a file that a crash left, and look that it holds what was acknowledged, and whole transactions only.

    Returns:
        How many transactions it holds.
    """
    store = SqliteStore(path)
    try:
        found = store.read(done_in)
        assert found >= acknowledged, f"{acknowledged} acknowledged, {found} there"
        assert store.read(lambda reader: everything(reader, ids_after(found))) == expected(found, seed)
        run(store, 1, seed, lambda _: None, found + 1)  # and it goes on
        assert store.checkpoint(truncate=True)
        assert store.integrity_problems() == []
    finally:
        store.close()
    return found
