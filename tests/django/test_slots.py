"""How many connections handlers hold at once: the slots, and what PostgreSQL counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connections
from django.test import Client

from durably.errors import ConfigurationError
from durably_django import slots as slots_module
from durably_django.runtime import runtime
from durably_django.settings import max_connections
from durably_django.slots import ConnectionSlots
from tests.django.project.shop import durable as services
from tests.django.project.shop.models import Entry

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer


def test_threads_wait_for_a_slot(tables: None):
    """No more threads than slots have a connection at once, though more want one; each gets its turn."""
    counted = ConnectionSlots(2)
    now: set[int] = set()
    most: list[int] = []

    def use(number: int) -> int:
        with counted.counting():
            Entry.objects.count()
            now.add(number)
            most.append(len(now))
            time.sleep(0.002)
            now.discard(number)
            return number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(40))) == list(range(40))
    assert max(most) == 2


def test_a_thread_without_the_database_takes_no_slot(tables: None):
    """The slot is taken with the first connection, not with the block, and blocks nest."""
    counted = ConnectionSlots(1)
    with counted.counting(), counted.counting():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_use, counted).result(5)
        Entry.objects.count()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(_use, counted)
            assert not waiting.done()
            counted.close()
            waiting.result(5)


def _use(counted: ConnectionSlots) -> None:
    with counted.counting():
        Entry.objects.count()


def test_waiting_in_vain_says_why(tables: None, monkeypatch: pytest.MonkeyPatch):
    """A thread that gets no slot in time fails with an error that the attempt is repeated for; the block is over."""
    monkeypatch.setattr(slots_module, "PATIENCE_S", 0.01)
    counted = ConnectionSlots(1)
    with counted.counting():
        Entry.objects.count()
        with (
            ThreadPoolExecutor(1) as pool,
            pytest.raises(OperationalError, match=r"All 1 connections.*MAX_CONNECTIONS"),
        ):
            pool.submit(_use, counted).result(5)
    _use(counted)
    assert "connect" not in vars(connections["default"])


def test_a_connection_that_cannot_be_opened_gives_its_slot_back(tables: None, monkeypatch: pytest.MonkeyPatch):
    """A database that is away does not use up the slots."""
    counted = ConnectionSlots(1)

    def fail() -> None:
        def refuse(_: Any) -> None:
            raise OperationalError("away")

        with monkeypatch.context() as patch, counted.counting():
            patch.setattr(type(connections["default"]), "connect", refuse)
            with pytest.raises(OperationalError, match="away"):
                Entry.objects.count()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(fail).result(5)
        pool.submit(_use, counted).result(5)


def test_handlers_take_the_slots_of_the_settings(quick_client: Client, settings_with: Any):
    """With one slot many handlers, each with a step, still end; nothing is left open or taken."""
    runtime.stop()
    settings_with(MAX_CONNECTIONS=1)
    runtime.start()
    ask = runtime.link.sync_client()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: ask.call(services.place, f"slot{number}"), range(16)))
    assert found == [1] * 16
    assert slots_module.slots.size == 1
    assert slots_module.slots._taken == 0


@pytest.fixture
def settings_with() -> Iterator[Any]:
    """Give what adds to the setting DURABLY for one test."""
    from django.conf import settings
    from django.test import override_settings

    changed: list[Any] = []

    def change(**more: Any) -> None:
        override = override_settings(DURABLY={**settings.DURABLY, **more})
        override.enable()
        changed.append(override)

    yield change
    for each in changed:
        each.disable()


@pytest.mark.parametrize("value", [0, -1, "many", True, 1.5, None])
def test_numbers_that_cannot_work_are_refused(settings_with: Any, value: Any):
    """A number of connections is 1 or more; the error says where it stands."""
    settings_with(MAX_CONNECTIONS=value)
    with pytest.raises(ConfigurationError, match="MAX_CONNECTIONS in the configuration"):
        max_connections()


def test_the_environment_gives_a_number_too(monkeypatch: pytest.MonkeyPatch):
    """`DURABLY_MAX_CONNECTIONS` counts where the dict has none; the default is 8."""
    assert max_connections() == 8
    monkeypatch.setenv("DURABLY_MAX_CONNECTIONS", "3")
    assert max_connections() == 3


@pytest.fixture
def on_postgres(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the alias of a database on PostgreSQL, which the project has for one test."""
    alias = "on_postgres"
    settings = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.postgresql",
        "NAME": postgres.copy(),
        "USER": "shop",
        "HOST": "127.0.0.1",
        "PORT": postgres.port,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {},
    }
    monkeypatch.setitem(connections.settings, alias, settings)
    yield alias
    connections[alias].close()
    del connections[alias]


def test_a_slot_is_free_when_the_server_has_let_go(on_postgres: str, postgres: PostgresServer):
    """Connections that are opened and closed by many threads never are more than the slots, as the server counts."""
    counted = ConnectionSlots(2)
    most: list[int] = []
    over = threading.Event()

    def watch() -> None:
        with postgres.session() as session:
            while not over.is_set():
                row = session.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop'").fetchone()
                assert row is not None
                most.append(row[0])

    def use(_: int) -> None:
        with counted.counting():
            Entry.objects.using(on_postgres).count()

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        list(pool.map(use, range(60)))
        over.set()
        watching.result(5)
    assert max(most) <= 2


def test_a_connection_that_the_server_has_cut_is_replaced(on_postgres: str, postgres: PostgresServer):
    """With an age and health checks, a handler's next attempt has a connection that works; the age holds none open."""
    from durably_django.database import release_connections

    def use() -> Any:
        with slots_module.slots.counting():
            return Entry.objects.using(on_postgres).count()

    def cut() -> None:
        with slots_module.slots.counting():
            use_now = connections[on_postgres]
            use_now.ensure_connection()
            postgres.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
            with pytest.raises(OperationalError):
                Entry.objects.using(on_postgres).count()
        assert use_now.connection is None

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(use).result(5) == 0
        pool.submit(cut).result(5)
        assert pool.submit(use).result(5) == 0
    release_connections()
