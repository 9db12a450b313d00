"""The outbox in the admin pages: who sees what, and what changes state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from durably_django import send_on_commit
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay
from tests.django.admin.browsing import EVIL, browser, texts
from tests.django.project.shop import durable as services

LIST = "/admin/durably/outboxmessage/"


@pytest.fixture
def message(site: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[OutboxMessage]:
    """Give a message that waits for its next try, with text that must be escaped; nothing leaves meanwhile."""
    relay.stop()
    monkeypatch.setattr(relay, "drain", lambda: 0)
    OutboxMessage.objects.all().delete()
    stored = send_on_commit(services.put, "a secret", key=EVIL)
    later = timezone.now() + timedelta(hours=1)
    OutboxMessage.objects.update(last_error=EVIL, attempts=3, due_at=later)
    yield stored
    OutboxMessage.objects.all().delete()


def test_only_staff_with_permission_sees_the_outbox(message: OutboxMessage):
    """Others are sent to the login, or refused."""
    assert Client().get(LIST).status_code == 302
    assert browser("guest", "view_outboxmessage", is_staff=False).get(LIST).status_code == 302
    assert browser("clerk").get(LIST).status_code == 403
    assert browser("viewer", "view_outboxmessage").get(LIST).status_code == 200


def test_texts_are_escaped_and_bodies_are_hidden(message: OutboxMessage):
    """Keys and errors are shown as text; what was sent is not shown, and nothing can be edited or added."""
    viewer = browser("viewer", "view_outboxmessage", "change_outboxmessage")
    for path in (LIST, f"{LIST}{message.pk}/change/"):
        page = viewer.get(path).content.decode()
        assert EVIL not in page
        assert "&lt;script&gt;" in page
        assert "a secret" not in page
    assert viewer.get(f"{LIST}add/").status_code == 403


def test_trying_again_needs_a_token_and_the_permission(message: OutboxMessage):
    """The action works only as a form of somebody who may change messages; reading changes nothing."""
    action = {"action": "try_again", "_selected_action": str(message.pk)}

    def due() -> Any:
        return OutboxMessage.objects.get().due_at

    before = due()
    editor = browser("editor", "view_outboxmessage", "change_outboxmessage")
    viewer = browser("viewer", "view_outboxmessage")
    assert editor.post(LIST, action).status_code == 403
    assert editor.get(LIST).status_code == 200
    viewer.submit(LIST, **action)
    assert due() == before
    page = editor.submit(LIST, **action)
    assert texts(page) == ["1 message is tried again."]
    assert due() < before
    assert LogEntry.objects.filter(object_id=str(message.pk), user__username="editor").count() == 1


def test_one_message_has_a_button(message: OutboxMessage):
    """Its page tries it again, for who may; it offers no button that would save."""
    path = f"{LIST}{message.pk}/change/"
    before = OutboxMessage.objects.get().due_at
    editor = browser("editor", "view_outboxmessage", "change_outboxmessage")
    viewer = browser("viewer", "view_outboxmessage")
    page = editor.get(path).content.decode()
    assert ("_try_again" in page, "_save" in page, "_continue" in page) == (True, False, False)
    assert "_try_again" not in viewer.get(path).content.decode()
    assert viewer.submit(path, _try_again="1").status_code == 403
    assert OutboxMessage.objects.get().due_at == before
    assert texts(editor.submit(path, _try_again="1")) == ["1 message is tried again."]
    assert OutboxMessage.objects.get().due_at < before


def test_the_list_says_how_far_each_is(message: OutboxMessage):
    """Those that fail are told from those that are only due; each can be asked for alone."""
    send_on_commit(services.put, "another", key="fine")
    viewer = browser("viewer", "view_outboxmessage")
    shown = viewer.get(LIST).content.decode()
    assert (">failing<" in shown, ">due<" in shown) == (True, True)
    failing = viewer.get(LIST, {"state": "failing"}).content.decode()
    assert ("baskets/put[fine]" in failing, "2 outbox messages" in failing) == (False, False)
    new = viewer.get(LIST, {"state": "new"}).content.decode()
    assert "baskets/put[fine]" in new
