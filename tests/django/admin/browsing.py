"""Accounts and their browsers."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

__all__ = ["EVIL", "Browser", "browser", "texts"]

EVIL = "<script>alert('x')</script>"


class Browser(Client):
    """A browser that is logged in, and sends the token of the last page with forms."""

    def submit(self, path: str, **fields: Any) -> Any:
        """Send a form, and follow where it leads."""
        page = self.get("/admin/password_change/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())
        assert token is not None
        return self.post(path, {**fields, "csrfmiddlewaretoken": token[1]}, follow=True)


def browser(name: str, *permissions: str, is_staff: bool = True, is_superuser: bool = False) -> Browser:
    """Give the browser of an account, with a check of CSRF tokens."""
    users = get_user_model().objects
    users.filter(username=name).delete()
    user: Any = users.create_user(name, is_staff=is_staff, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Browser(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def texts(page: Any) -> list[str]:
    """Give the messages on a page."""
    return [str(each) for each in page.context["messages"]]
