"""Connections to PostgreSQL: what the server itself counts, with each of the settings that Django has for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import django
import pytest
from django.db import OperationalError, connections, transaction

from durably_django.slots import ConnectionSlots
from tests.django.project.shop.models import Entry

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer

MINE = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'"


def count_while(server: PostgresServer, work: Callable[[int], object], times: int) -> int:
    """Do work in eight threads at once; give the most connections that the server had meanwhile."""
    most: list[int] = []
    over = threading.Event()

    def watch() -> None:
        with server.session() as session:
            while not over.is_set():
                row = session.execute(MINE).fetchone()
                assert row is not None
                most.append(row[0])

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        try:
            list(pool.map(work, range(times)))
        finally:
            over.set()
        watching.result(5)
    assert len(most) > 1
    return max(most)


@pytest.mark.parametrize("settings", [{}, {"CONN_MAX_AGE": 600}, {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}])
def test_a_slot_is_free_when_the_server_has_let_go(
    on_postgres: Callable[..., str], postgres: PostgresServer, settings: dict[str, Any]
):
    """Connections that many threads open and close never are more than the slots; an age keeps none open."""
    alias = on_postgres(**settings)
    counted = ConnectionSlots(2)

    def use(_: int) -> None:
        with counted.counting():
            Entry.objects.using(alias).count()

    assert 1 <= count_while(postgres, use, 60) <= 2


@pytest.mark.skipif(django.VERSION < (5, 1), reason="Django has pools since 5.1")
def test_a_pool_has_its_own_bound(on_postgres: Callable[..., str], postgres: PostgresServer):
    """With a pool of psycopg a thread gives its connection back to it, and the pool's size is the bound."""
    alias = on_postgres(OPTIONS={"pool": {"min_size": 1, "max_size": 3}})
    counted = ConnectionSlots(8)

    def use(_: int) -> bool:
        with counted.counting():
            Entry.objects.using(alias).count()
        return connections[alias].connection is None

    given_back: list[bool] = []
    assert 1 <= count_while(postgres, lambda number: given_back.append(use(number)), 60) <= 3
    assert all(given_back)


def test_a_connection_that_the_server_has_cut_is_replaced(on_postgres: Callable[..., str], postgres: PostgresServer):
    """With an age and health checks, the attempt after the one that failed has a connection that works."""
    alias = on_postgres(CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True)
    counted = ConnectionSlots(1)

    def use() -> int:
        with counted.counting():
            return Entry.objects.using(alias).count()

    def be_cut() -> None:
        with counted.counting():
            connections[alias].ensure_connection()
            postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
            with pytest.raises(OperationalError):
                Entry.objects.using(alias).count()
        assert connections[alias].connection is None

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(use).result(5) == 0
        pool.submit(be_cut).result(5)
        assert pool.submit(use).result(5) == 0


def test_an_open_block_keeps_its_connection_and_its_slot(on_postgres: Callable[..., str]):
    """Nothing is closed inside of a transaction; its savepoints go on, and the slot is free after it."""
    alias = on_postgres()
    counted = ConnectionSlots(1)

    def work() -> list[str]:
        with counted.counting():
            with transaction.atomic(using=alias, durable=True):
                Entry.objects.using(alias).create(text="kept")
                point = transaction.savepoint(using=alias)
                Entry.objects.using(alias).create(text="undone")
                counted.close()
                assert connections[alias].connection is not None
                transaction.savepoint_rollback(point, using=alias)
            found = [each.text for each in Entry.objects.using(alias).all()]
        assert connections[alias].connection is None
        assert counted._taken == 0
        return found

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result(5) == ["kept"]
