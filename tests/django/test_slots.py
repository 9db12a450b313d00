"""How many connections handlers hold at once: the slots, and what PostgreSQL counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
