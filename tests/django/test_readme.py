"""The Django section of the README: its code runs in a project, and does what it says."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory

from durably_django.runtime import runtime

README = Path(__file__).resolve().parents[2] / "README.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_example(quick_client: Client):
    """A form becomes an order, the order's message leaves with its transaction, and two days later there is a label."""
    from tests.django.project.shop.models import Entry

    def store(order_id: str, payment: str) -> None:
        Entry.objects.get_or_create(text=f"{order_id} paid with {payment}")

    printed: list[str] = []
    page: dict[str, Any] = {
        "__name__": "readme",
        "timedelta": lambda days: timedelta(0),  # nobody waits for two days
        "charge_card": lambda card: f"payment by {card}",
        "print_label": lambda order_id: printed.append(order_id),
        "Order": SimpleNamespace(objects=SimpleNamespace(get_or_create=store)),
    }
    [code] = [block for block in CODE.findall(README.read_text("utf-8")) if "durably_django" in block]
    runtime.stop()
    exec(compile(code, "README.md", "exec"), page)
    runtime.bind(page["shipping"])
    request = RequestFactory().post("/orders/A-1/", {"card": "4000"})
    request.user = AnonymousUser()
    answer = page["place"](request, order_id="A-1")
    assert (answer.status_code, answer.content) == (201, b'{"order": "A-1", "payment": "payment by 4000"}')
    assert [entry.text for entry in Entry.objects.all()] == ["A-1 paid with payment by 4000"]
    deadline = time.monotonic() + 20
    while not printed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert printed == ["A-1"]
    runtime.stop()
