"""The project, set up once, with its tables in a file, and an engine in memory for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.project.settings")

import django
from django.core.management import call_command
from django.db import connections

from durably.engine.options import EngineOptions, OnMaxAttempts, RetryPolicy

if TYPE_CHECKING:
    from tests.django.postgres import PostgresServer

_AT_ONCE = RetryPolicy(initial_interval_ms=1, max_interval_ms=2, max_attempts=20, on_max_attempts=OnMaxAttempts.KILL)

django.setup()


@pytest.fixture(scope="session")
def tables() -> None:
    """Make the tables of the project."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    connections.close_all()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a PostgreSQL server; where it is not installed, its tests are left out, but not in CI."""
    yield from _postgres(60)


@pytest.fixture(scope="module")
def small_postgres() -> Iterator[PostgresServer]:
    """Give one with `max_connections` 10."""
    yield from _postgres(10)


@pytest.fixture
def on_postgres(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Give what adds a database on PostgreSQL to the project for one test, with settings; it gives the alias."""
    added: list[str] = []

    def add(**settings: Any) -> str:
        alias = f"on_postgres_{len(added)}"
        added.append(alias)
        where = {"ENGINE": "django.db.backends.postgresql", "NAME": postgres.copy(), "USER": "shop"}
        where |= {"HOST": "127.0.0.1", "PORT": postgres.port, "OPTIONS": {}}
        monkeypatch.setitem(connections.settings, alias, {**connections.settings["default"], **where, **settings})
        return alias

    yield add
    for alias in added:
        connections[alias].close()
        close_pool = getattr(connections[alias], "close_pool", None)
        if close_pool is not None:
            close_pool()
        del connections[alias]


def _postgres(max_connections: int) -> Iterator[PostgresServer]:
    try:
        from tests.django.postgres import PostgresServer, find_programs

        programs = find_programs()
    except ImportError:  # of psycopg
        programs = None
    if programs is None:
        missing = "PostgreSQL or psycopg is not installed: apt-get install postgresql, pip install 'psycopg[binary]'."
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    server = PostgresServer(programs, max_connections=max_connections)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["streaming", "suspending"])
def client(request: pytest.FixtureRequest, tables: None) -> Iterator[Any]:
    """Give a client of the project; in the second form each wait suspends, so that each attempt replays."""
    yield from _running(60_000 if request.param == "streaming" else 0)


@pytest.fixture
def quick_client(tables: None) -> Iterator[Any]:
    """Give a client of the project whose attempts stream."""
    yield from _running(60_000)


def _running(idle_ms: int) -> Iterator[Any]:
    from django.test import Client

    from durably_django.runtime import runtime
    from tests.django.project.shop.models import Entry

    runtime.stop()
    runtime.options = EngineOptions(inactivity_timeout_ms=idle_ms, retry_policy=_AT_ONCE)
    Entry.objects.all().delete()
    try:
        yield Client(raise_request_exception=False)
    finally:
        runtime.stop()
        connections.close_all()
