"""Sending with the transaction: what leaves, when, and how often."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone

from durably.errors import UsageError
from durably_django import send_on_commit
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import Relay, relay
from durably_django.runtime import runtime
from tests.django.project.shop import durable as services
from tests.django.project.shop.models import Entry


@pytest.fixture(autouse=True)
def clean(quick_client: Client) -> None:
    """Start each test with an empty outbox and a runtime."""
    OutboxMessage.objects.all().delete()
    runtime.start()


def until(condition: Callable[[], Any], bound_s: float = 10) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def roll_back(text: str) -> None:
    """Send within a block that fails."""
    with transaction.atomic():
        send_on_commit(services.record, text)
        raise ZeroDivisionError


def entries(text: str) -> int:
    """Count entries."""
    return Entry.objects.filter(text=text).count()


def test_a_message_leaves_when_its_transaction_commits():
    """Inside of the transaction nothing leaves; after the commit it does, at once, and the row is gone."""
    with transaction.atomic():
        send_on_commit(services.record, "committed")
        assert OutboxMessage.objects.count() == 1
        assert entries("committed") == 0
    started_s = time.monotonic()
    until(lambda: entries("committed") == 1)
    assert time.monotonic() - started_s < 2, "it was not woken"
    until(lambda: not OutboxMessage.objects.exists())


def test_nothing_leaves_when_it_is_rolled_back():
    """A rolled-back block takes its message along; an inner block takes only its own."""
    with pytest.raises(ZeroDivisionError):
        roll_back("rolled back")
    with transaction.atomic():
        send_on_commit(services.record, "outer")
        with pytest.raises(ZeroDivisionError):
            roll_back("inner")
    until(lambda: entries("outer") == 1)
    assert entries("inner") == entries("rolled back") == 0
    assert not OutboxMessage.objects.exists()


def test_a_message_sent_twice_starts_one_invocation():
    """A relay that died between sending and deleting is repeated by another, with the same key."""
    relay.stop()
    message = send_on_commit(services.record, "twice")
    assert Relay().drain() == 1
    message.due_at = timezone.now()
    message.save(force_insert=True)
    assert Relay().drain() == 1
    until(lambda: entries("twice") == 1)
    handle = runtime.link.sync_client()
    handle.call(services.record, "after")
    assert entries("twice") == 1


def test_two_relays_share_the_work():
    """What one has claimed the other leaves alone until the claim has run out."""
    relay.stop()
    for number in range(3):
        send_on_commit(services.record, f"shared {number}")
    claimed = Relay()._claim("default")
    assert len(claimed) == 3
    assert Relay().drain() == 0
    OutboxMessage.objects.update(due_at=timezone.now())
    assert Relay().drain() == 3


def test_what_cannot_be_sent_stays_with_its_reason():
    """A message to a handler that is gone is kept, counted, and tried again later."""
    relay.stop()
    message = send_on_commit(services.record, "lost")
    OutboxMessage.objects.update(handler="gone")
    assert Relay().drain() == 0
    message.refresh_from_db()
    assert message.attempts == 1
    assert message.last_error
    assert message.due_at > timezone.now()
    OutboxMessage.objects.update(handler="record", due_at=timezone.now())
    assert Relay().drain() == 1
    until(lambda: entries("lost") == 1)


def test_keys_delays_and_own_idempotency_keys_travel():
    """Objects get their key; a delay is counted from the call; messages with one key start one invocation."""
    relay.stop()
    with transaction.atomic():
        for _ in range(2):
            send_on_commit(services.put, "apple", key="outbox", idempotency_key="one apple")
        send_on_commit(services.record, "later", delay=timedelta(milliseconds=300))
    assert Relay().drain() == 3
    assert entries("later") == 0
    until(lambda: entries("later") == 1)
    assert runtime.link.sync_client().call(services.put, "pear", key="outbox") == 2


def test_what_makes_no_sense_is_refused_at_once():
    """A message that could never be sent raises where it is written, and no row is left."""
    with pytest.raises(UsageError, match="keyed"):
        send_on_commit(services.put, "apple")
    with pytest.raises(UsageError, match="not a registered handler"):
        send_on_commit(test_what_makes_no_sense_is_refused_at_once, "x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="longer than"):
        send_on_commit(services.record, "x", idempotency_key="k" * 256)
    assert not OutboxMessage.objects.exists()


def test_the_command_sends_what_is_due():
    """`manage.py durably_outbox` empties the outbox, and says how much it did."""
    relay.stop()
    send_on_commit(services.record, "by command")
    runtime.stop()
    out = io.StringIO()
    call_command("durably_outbox", stdout=out)
    assert out.getvalue() == "sent 1, left 0\n"


def test_an_outbox_that_is_not_migrated_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Without its table the relay says so once, and goes on."""
    monkeypatch.setattr(OutboxMessage._meta, "db_table", "there_is_none")
    fresh = Relay()
    relay.stop()
    assert fresh.drain() == fresh.drain() == 0
    assert caplog.text.count("Has it been migrated?") == 1
