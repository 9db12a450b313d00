"""The page about the admin pages: its code runs, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management import get_commands, load_command_class

from durably_django.admin.actions import ACTIONS
from durably_django.models import Invocation
from durably_django.permissions import Invocation as Model
from durably_django.shown import MOST_CHARS, MOST_ENTRIES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "django-admin.md"
TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_its_code_runs():
    """Another site gets both classes."""
    page: dict[str, Any] = {}
    for block in CODE.finditer(TEXT):
        exec(compile(block[1], "django-admin.md", "exec"), page)
    assert page["office"].is_registered(Invocation)


def test_its_tables_are_complete():
    """Every action with its permission, every permission of the model, every command, and the limits."""
    for action in ACTIONS.values():
        assert re.search(rf"^\| {action.label} \|.*`{action.permission}`", TEXT, re.MULTILINE)
    named = {codename for codename, _ in Model._meta.permissions}
    assert named == {each.permission.removeprefix("durably.") for each in ACTIONS.values()}
    ours = [name for name, app in get_commands().items() if app == "durably_django"]
    assert len(ours) == 4
    for name in ours:
        assert f"`manage.py {name}" in TEXT
        assert load_command_class("durably_django", name).help
    assert (f"after {MOST_CHARS} characters" in TEXT, f"after {MOST_ENTRIES} entries" in TEXT) == (True, True)
