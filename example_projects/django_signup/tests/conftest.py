"""The project as its tests see it: a database in a file, mails in a list, an engine in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.mail.backends import locmem
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.test.utils import setup_test_environment, teardown_test_environment

from durably.testing.effects import Effects
from durably_django.runtime import runtime
from tests.environment import FOLDER
from tests.steps import empty_tables


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """Make the tables once, and keep mails in memory."""
    setup_test_environment()
    call_command("migrate", verbosity=0)
    yield
    runtime.stop()
    connections.close_all()
    teardown_test_environment()
    FOLDER.cleanup()


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """Begin and end with empty tables, and with no engine."""
    empty_tables()
    yield
    runtime.stop()
    connections.close_all()


@pytest.fixture
def client() -> Client:
    """A browser."""
    return Client()


@pytest.fixture
def counted_mails(durably_effects: Effects, monkeypatch: pytest.MonkeyPatch) -> Effects:
    """Tell the test kit of each mail; the mail server knows one that comes twice by its `Message-ID`."""
    deliver = locmem.EmailBackend.send_messages

    def send_messages(self: locmem.EmailBackend, messages: list) -> int:
        for each in messages:
            durably_effects.record("mail", each.subject, key=each.extra_headers["Message-ID"])
        return deliver(self, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send_messages)
    return durably_effects
