"""The outbox in the admin pages: who sees what, and what changes state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client, override_settings
from django.utils import timezone

from durably_django import send_on_commit
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay
from tests.django.project.shop import durable as services

LIST = "/admin/durably/outboxmessage/"
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def message(quick_client: Client) -> Iterator[OutboxMessage]:
    """Give a message that waits for its next try, with text that must be escaped."""
    relay.stop()
    OutboxMessage.objects.all().delete()
    stored = send_on_commit(services.put, "a secret", key=EVIL)
    later = timezone.now() + timedelta(hours=1)
    OutboxMessage.objects.update(last_error=EVIL, attempts=3, due_at=later)
    with override_settings(ROOT_URLCONF="tests.django.project.with_admin"):
        yield stored
    OutboxMessage.objects.all().delete()


def browser(name: str, *permissions: str, is_staff: bool = True) -> Client:
    """Give the browser of an account, with a check of CSRF tokens."""
    users = get_user_model().objects
    users.filter(username=name).delete()
    user: Any = users.create_user(name, password="secret", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


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
    for each in (viewer, editor):
        each.get(LIST)
        assert due() == before
        token = each.cookies["csrftoken"].value if "csrftoken" in each.cookies else "a" * 32
        each.cookies["csrftoken"] = token
        each.post(LIST, {**action, "csrfmiddlewaretoken": token})
        if each is viewer:
            assert due() == before
    assert due() < before
