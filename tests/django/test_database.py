"""The database rules: when connections are closed, and what is refused."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from durably_django.runtime import runtime
from tests.django.project.shop import durable as services
from tests.django.project.shop.models import Entry


def test_services_use_the_database_straight_away(client: Client):
    """A service of the `durable` module is found, and its steps store once; in both colours."""
    ask = runtime.link.sync_client()
    assert ask.call(services.place, "s1") == 1
    assert ask.call(services.place_async, "s2") == 1
    assert ask.call(services.put, "apple", key="b") == 1
    assert ask.call(services.put, "apple", key="b") == 2


def test_waiting_holds_no_connection(quick_client: Client):
    """A connection that the handler opened is closed around steps and before it waits."""
    said = quick_client.post("/connections/").json()
    assert said == {"before": True, "in_step": False, "after_step": False, "after_wait": False}


def test_waiting_in_a_transaction_is_refused(client: Client):
    """`transaction.atomic()` around a durable wait raises an error that says what to do, and rolls back."""
    answer = client.post("/atomic/")
    assert answer.status_code == 418, answer.content
    assert b"waits inside transaction.atomic() on database 'default'" in answer.content
    assert re.search(rb"views\.py:\d+ in atomic: the transaction would", answer.content), "it names the line"
    assert b"put the whole block into one ctx.run step" in answer.content
    assert not Entry.objects.filter(text="in the block").exists()


def test_transactions_and_threads(client: Client):
    """Transactions in and between steps do what they say; code bound to a thread stays on it, in each attempt."""
    ask = runtime.link.sync_client()
    assert ask.call(services.use_transactions, "tx") == ["tx between", "tx inner", "tx outer"]
    assert ask.call(services.use_threads, "threads")


def test_no_connection_stays_open(quick_client: Client):
    """After many attempts no thread of the engine holds a connection, nor does the caller's own after the call."""
    opened: set[int] = set()
    closed: set[int] = set()
    counting = _Counting(opened, closed)
    with counting:
        for number in range(5):
            assert quick_client.post(f"/steps/many{number}/").json() == {"count": 1}
            assert runtime.link.sync_client().call(services.place_async, f"async{number}") == 1
    runtime.stop()
    own = {id(each) for each in counting.kept if each.connection is not None}
    ours = {id(connections["default"])}
    assert opened
    assert own <= ours, "a thread of the engine still holds a connection"


class _Counting:
    """Remembers every connection that is opened, in any thread."""

    def __init__(self, opened: set[int], closed: set[int]) -> None:
        self.opened, self.closed = opened, closed
        self.kept: list[Any] = []
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        from django.db.backends.signals import connection_created

        connection_created.connect(self._created)

    def __exit__(self, *_: object) -> None:
        from django.db.backends.signals import connection_created

        connection_created.disconnect(self._created)

    def _created(self, connection: Any, **_: Any) -> None:
        with self._lock:
            self.opened.add(id(connection))
            self.kept.append(connection)


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_many_that_wait_hold_no_connection(quick_client: Client, colour: str):
    """Two hundred invocations that wait, after each has used the database, hold no connection together."""
    waiting = 200
    handler: Any = services.wait_and_end_async if colour == "async" else services.wait_and_end
    counting = _Counting(set(), set())
    ask = runtime.link.sync_client()
    with counting:
        handles = [ask.send(handler, colour) for _ in range(waiting)]
        deadline_s = time.monotonic() + 30
        while Entry.objects.filter(text__startswith=f"{colour} waits ").count() < waiting:
            assert time.monotonic() < deadline_s, "they did not get there"
            time.sleep(0.05)
        open_now = waiting
        while open_now and time.monotonic() < deadline_s:
            time.sleep(0.01)
            own = connections["default"]
            open_now = sum(each.connection is not None for each in counting.kept if each is not own)
    assert open_now == 0
    for text in Entry.objects.filter(text__startswith=f"{colour} waits ").values_list("text", flat=True):
        ask.resolve_awakeable(text.split()[-1], 1)
    for handle in handles:
        ask.attach(handle.invocation_id)
    assert Entry.objects.filter(text=f"{colour} ended").count() == waiting
