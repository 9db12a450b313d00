"""The project, set up once, with its tables in a file, and an engine in memory for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.project.settings")

import django
from django.core.management import call_command
from django.db import connections

from durably.engine.options import EngineOptions, OnMaxAttempts, RetryPolicy

_AT_ONCE = RetryPolicy(initial_interval_ms=1, max_interval_ms=2, max_attempts=20, on_max_attempts=OnMaxAttempts.KILL)

django.setup()


@pytest.fixture(scope="session")
def tables() -> None:
    """Make the tables of the project."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    connections.close_all()


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
