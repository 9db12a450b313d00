"""Tasks in the admin pages: who sees them, and that nobody edits them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client, override_settings
from django.utils import timezone

from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay
from durably_django.tasks.models import TaskRecord
from tests.django.project.shop import tasks

LIST = "/admin/durably_tasks/taskrecord/"


def browser(*permissions: str) -> Client:
    """Give the browser of somebody on the staff."""
    users = get_user_model().objects
    users.filter(username="tasks").delete()
    user: Any = users.create_user("tasks", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


@override_settings(ROOT_URLCONF="tests.django.project.with_admin")
def test_tasks_are_shown_and_not_edited(tables: None):
    """With the permission a task is listed with its errors, escaped; its arguments stay hidden, and nothing changes."""
    relay.stop()
    TaskRecord.objects.all().delete()
    result = tasks.echo.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("a secret")
    TaskRecord.objects.update(errors='["<script>"]')
    page = f"{LIST}{result.id}/change/"
    assert browser().get(LIST).status_code == 403
    viewer = browser("view_taskrecord", "change_taskrecord", "add_taskrecord")
    for path in (LIST, page):
        answer = viewer.get(path)
        assert answer.status_code == 200
        assert "tests.django.project.shop.tasks.echo" in answer.content.decode()
        assert "a secret" not in answer.content.decode()
    assert "&lt;script&gt;" in viewer.get(page).content.decode()
    assert viewer.get(f"{LIST}add/").status_code == 403
    assert viewer.post(page, {"status": "FAILED"}).status_code == 403
    TaskRecord.objects.all().delete()
    OutboxMessage.objects.all().delete()
