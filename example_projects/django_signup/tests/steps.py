"""What several tests do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core import mail

from accounts.models import SignUp
from durably_django.models import OutboxMessage
from history.models import Entry
from orders.models import Order, Product

__all__ = ["done", "empty_tables", "eventually"]


def empty_tables() -> None:
    """Take everything away, mails too, but the products, of which there are ten each."""
    mail.outbox.clear()
    for model in (OutboxMessage, Entry, Order, SignUp, User):
        model.objects.all().delete()
    Product.objects.update(in_stock=10)


def done() -> list[str]:
    """What the history says was done, in order."""
    return list(Entry.objects.values_list("what", flat=True))


def eventually(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is true."""
    deadline = time.monotonic() + 20
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return answer
