"""The project as a whole: its checks, its migrations, its admin pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from accounts.models import SignUp


def test_checks_and_migrations_are_complete():
    """Nothing is left to say for `manage.py check`, and no model has changed since its migration."""
    call_command("check", fail_level="WARNING")
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize(
    "page", ["accounts/signup/", "orders/order/", "orders/product/", "history/entry/", "durably/outboxmessage/"]
)
def test_admin_pages(client: Client, page: str):
    """The staff sees sign-ups, orders, products, what was done, and what is still to be sent."""
    SignUp.objects.create(username="ada", email="ada@home.example")
    assert client.get(f"/admin/{page}").status_code == 302
    client.force_login(User.objects.create_superuser("root", "root@home.example", "secret"))
    assert client.get(f"/admin/{page}").status_code == 200
