"""A copy of the Django project, to change; and a person who signs up in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.cli.processes import command, environment

EXAMPLE = Path(__file__).resolve().parents[2] / "example_projects" / "django_signup"
WORKFLOW = Path("accounts/durable.py")


def copy_project(folder: Path, *, with_tables: bool = True) -> tuple[Path, dict[str, str]]:
    """Copy the project, and make its tables; gives the copy and its environment."""
    copy = folder / "project"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.db*", ".pytest_cache", "tests"))
    env = {"SIGNUP_MAILS": str(folder / "mails"), "SIGNUP_DATABASE": str(folder / "signup.db")}
    if with_tables:
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
        subprocess.run(migrate, cwd=copy, env=environment(env), check=True, timeout=60)
    return copy, {**env, "DURABLY_SECRET_KEY": "only for this test"}


def sign_up(base: str) -> None:
    """Fill in the form."""
    with httpx.Client(base_url=base, timeout=20) as browser:
        page = browser.get("/accounts/sign-up/").text
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        form = {"username": "ada", "email": "ada@home.example", "password": "correct horse battery"}
        answer = browser.post("/accounts/sign-up/", data={"csrfmiddlewaretoken": token[0], **form})
        assert answer.status_code == 302, answer.text


def waits_for_a_day(copy: Path, env: dict[str, str], where: Sequence[str]) -> bool:
    """Tell whether the workflow has come to its first reminder: account, mail, and the sleep after them."""
    listed = json.loads(command(copy, "invocations", "list", "--json", *where, env=env).stdout)
    return bool(listed) and listed[0]["target"].startswith("sign_ups/") and listed[0]["journal_size"] > 5
