"""The page about tasks: its code runs, and does what the text says."""

from __future__ import annotations

import json
import re
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory

from durably_django.runtime import runtime
from durably_django.tasks.framework import PACKAGE
from durably_django.tasks.options import read_options

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "django-tasks.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.01)


def test_the_page_keeps_its_word(quick_client: Client, capsys: Any, monkeypatch: pytest.MonkeyPatch):
    """The view enqueues a task that sends its receipt; the task with steps takes each once; the options are options."""
    page = types.ModuleType("tasks_page")
    monkeypatch.setitem(sys.modules, page.__name__, page)
    for block in CODE.finditer(PAGE.read_text("utf-8")):
        exec(compile(block[1].replace("django.tasks", PACKAGE, 1), "django-tasks.md", "exec"), page.__dict__)
    read_options("default", page.TASKS["default"]["OPTIONS"])
    runtime.start()
    answer = page.place(RequestFactory().post("/orders/"))
    receipt = page.send_receipt.get_result(json.loads(answer.content)["result"])
    subscribed = page.subscribe.get_result(page.sign_up("bob@example.org"))

    def are_finished() -> bool:
        for result in (receipt, subscribed):
            result.refresh()
        return bool(receipt.is_finished and subscribed.is_finished)

    until(are_finished)
    assert (receipt.return_value, subscribed.return_value) == ("receipt-17", "S-1")
    said = capsys.readouterr().out
    assert said.count("receipt of order 17 for ada@example.org") == 1
    assert said.count("bob@example.org has S-1") == said.count("bob@example.org: how is it?") == 1
