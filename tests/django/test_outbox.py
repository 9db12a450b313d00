"""Sending with the transaction: what leaves, when, and how often."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.test import Client, override_settings
from django.utils import timezone

from durably.errors import UsageError
from durably_django import send_on_commit
from durably_django.management.commands import durably_outbox
from durably_django.models import OutboxMessage
from durably_django.outbox import relay as relay_module
from durably_django.outbox.relay import Relay, _can_skip, _claim_singly, relay
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


def roll_back(text: str, using: str = "default") -> None:
    """Send within a block that fails."""
    with transaction.atomic(using=using):
        send_on_commit(services.record, text, using=using)
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
    until(lambda: not OutboxMessage.objects.exists())


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


def test_the_command_watches_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch):
    """With `--watch` it goes on with what comes later, at its interval, and ends in order when it is interrupted."""
    relay.stop()
    runtime.stop()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            send_on_commit(services.record, "while watching")
        else:
            until(lambda: entries("while watching") == 1)
            raise KeyboardInterrupt

    monkeypatch.setattr(durably_outbox, "time", SimpleNamespace(sleep=sleep))  # `until` sleeps too
    err = io.StringIO()
    call_command("durably_outbox", watch=True, interval=0.5, stderr=err)
    assert (slept, err.getvalue()) == ([0.5, 0.5], "stopped\n")
    assert runtime.invoke_app is None
    assert not OutboxMessage.objects.exists()


def test_the_command_says_why_it_cannot_run():
    """A setting that cannot work is an error of the command, without a traceback."""
    runtime.stop()
    with override_settings(DURABLY={"URL": "mysql://"}), pytest.raises(CommandError, match="names no store"):
        call_command("durably_outbox")


def test_an_outbox_that_is_not_migrated_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Without its table the relay says so once, and goes on."""
    monkeypatch.setattr(OutboxMessage._meta, "db_table", "there_is_none")
    fresh = Relay()
    relay.stop()
    assert fresh.drain() == fresh.drain() == 0
    assert caplog.text.count("Has it been migrated?") == 1


@pytest.fixture(params=["sqlite", "postgres"])
def archive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Give the alias of a second database, which the project has for one test; of either kind."""
    settings = {**connections.settings["default"], "NAME": tmp_path / "archive.sqlite3"}
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        settings |= {"ENGINE": "django.db.backends.postgresql", "USER": "shop", "HOST": "127.0.0.1", "OPTIONS": {}}
        settings |= {"NAME": server.copy(), "PORT": server.port}
    relay.stop()
    monkeypatch.setitem(connections.settings, "archive", settings)
    if request.param == "sqlite":
        call_command("migrate", database="archive", run_syncdb=True, verbosity=0)
    yield "archive"
    relay.stop()
    connections["archive"].close()
    del connections["archive"]


def test_each_database_has_an_outbox_of_its_own(archive: str):
    """A message belongs to the transaction of its alias: that one decides, and the relay looks into all of them."""
    with transaction.atomic():
        with pytest.raises(ZeroDivisionError):
            roll_back("not archived", archive)
        send_on_commit(services.record, "kept here")
    with transaction.atomic(using=archive):
        send_on_commit(services.record, "archived", using=archive)
        assert OutboxMessage.objects.using(archive).count() == 1
    assert OutboxMessage.objects.count() == 1
    assert Relay().drain() == 2
    until(lambda: entries("archived") == 1 and entries("kept here") == 1)
    assert entries("not archived") == 0
    assert not OutboxMessage.objects.using(archive).exists()


def test_the_thread_finds_what_another_database_committed(archive: str):
    """The relay of this process is woken by a commit in any of its databases."""
    runtime.stop()
    runtime.start()
    with transaction.atomic(using=archive):
        send_on_commit(services.record, "woken", using=archive)
    until(lambda: entries("woken") == 1)


def test_more_than_a_batch_leaves_in_one_round(archive: str):
    """A round goes on until nothing is due, batch by batch, and each message starts one invocation."""
    with transaction.atomic(using=archive):
        for number in range(60):
            send_on_commit(services.note_once, f"batch {number}", using=archive)
    assert Relay().drain() == 60
    until(lambda: Entry.objects.filter(text__startswith="batch ").count() == 60)
    assert not OutboxMessage.objects.using(archive).exists()


def test_relays_that_look_at_once_do_not_share_a_message(archive: str):
    """Four relays empty an outbox together: nothing is claimed twice, and nobody waits for another's rows."""
    with transaction.atomic(using=archive):
        for number in range(200):
            send_on_commit(services.record, f"claimed {number}", using=archive)

    def claim_all(_: int) -> list[Any]:
        mine, fresh = [], Relay()
        while batch := fresh._claim(archive):
            mine += [each.pk for each in batch]
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [each for mine in pool.map(claim_all, range(4)) for each in mine]
    assert len(claimed) == len(set(claimed)) == 200


def test_rows_that_another_relay_is_claiming_are_passed_over(archive: str):
    """While one transaction has locked rows, PostgreSQL gives the next ones at once."""
    if not connections[archive].features.has_select_for_update_skip_locked:
        archive_can_only_wait = _claim_singly
        assert not _can_skip(archive)
        send_on_commit(services.record, "alone", using=archive)
        assert len(archive_can_only_wait(OutboxMessage.objects.using(archive))) == 1
        return
    for name in ("locked", "free"):
        send_on_commit(services.record, name, using=archive)

    def claim() -> list[bytes]:
        return [bytes(each.body) for each in Relay()._claim(archive)]

    with transaction.atomic(using=archive):
        first = OutboxMessage.objects.using(archive).order_by("due_at").select_for_update()[0]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(claim).result(5) == [b'"free"']
    assert bytes(first.body) == b'"locked"'
    assert claim() == [b'"locked"']


def test_a_slow_runtime_does_not_hold_claims_for_ever(monkeypatch: pytest.MonkeyPatch):
    """What could not be sent within half of the claim is left to whoever finds it when the claim has run out."""
    relay.stop()
    for number in range(3):
        send_on_commit(services.record, f"slow {number}")
    monkeypatch.setattr(relay_module, "_CLAIM", timedelta(0))
    fresh = Relay()
    batch = fresh._claim("default")
    monkeypatch.setattr(relay_module.time, "monotonic", iter(range(100)).__next__)
    assert fresh._send_batch(batch, "default") == 0
    monkeypatch.undo()
    assert Relay().drain() == 3


def test_savepoints_take_their_messages_along():
    """Of nested blocks each takes its own message along when it is rolled back, whatever the outer one does."""
    relay.stop()
    with transaction.atomic(durable=True):
        send_on_commit(services.record, "outermost")
        point = transaction.savepoint()
        send_on_commit(services.record, "to the savepoint")
        transaction.savepoint_rollback(point)
        with transaction.atomic():
            send_on_commit(services.record, "inner kept")
    assert sorted(bytes(each.body) for each in OutboxMessage.objects.all()) == [b'"inner kept"', b'"outermost"']
    assert Relay().drain() == 2
