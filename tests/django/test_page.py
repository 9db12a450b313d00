"""The page about Django: its code runs, and does what the text says."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from django.test import Client, RequestFactory

from durably_django.runtime import runtime

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "django.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_keeps_its_word(quick_client: Client, capsys: Any):
    """The view answers with its payment, the service ships what a committed transaction has sent."""
    runtime.stop()
    page: dict[str, Any] = {"__name__": "page"}
    for block in CODE.finditer(PAGE.read_text("utf-8")):
        exec(compile(block[1], "django.md", "exec"), page)
    runtime.bind(page["orders"])
    answer = page["place"](RequestFactory().post("/orders/A-1/"), order_id="A-1")
    assert (answer.status_code, answer.content) == (201, b'{"payment": "payment-A-1", "for": ""}')
    page["check_out"]("A-1")
    runtime.link.sync_client().call(page["ship"], "A-2")
    shipped, deadline_s = "", time.monotonic() + 10
    while "shipping A-1" not in shipped:
        assert time.monotonic() < deadline_s, shipped
        time.sleep(0.01)
        shipped += capsys.readouterr().out
