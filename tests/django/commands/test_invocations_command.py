"""`durably_invocations`, in a process whose engine is in memory: lists, one, and acting, with exit codes and JSON."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from django.test import Client, override_settings

from durably.operations.invocations import INVOCATION_FIELDS
from durably_django import sync_client
from durably_django.runtime import runtime
from tests.django.commands.commanding import run
from tests.django.project.shop import durable as services

COMMAND = "durably_invocations"


@pytest.fixture
def waiting(quick_client: Client) -> str:
    """Give an invocation that waits, in a runtime that also has one that is completed."""
    client = sync_client()
    client.object_call(services.put, key="Grace", arg="tea")
    started = client.service_send(services.use_and_wait, "Ada").invocation_id
    until(lambda: len(run(COMMAND, "show", started, "--json").json["entries"]) == 2)
    return started


def until(ask: Any) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + 8
    while not ask():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_lists_are_narrowed(waiting: str):
    """For people with headings, for programs with all columns; filters as in the admin pages."""
    listed = run(COMMAND, "list")
    assert listed.out.splitlines()[0].split() == ["ID", "TARGET", "STATUS", "CREATED", "NOTE"]
    assert [line.split()[1:3] for line in listed.out.splitlines()[1:]][1] == ["baskets/Grace/put", "succeeded"]
    rows = run(COMMAND, "list", "--service", "orders", "--json").json
    assert ([row["id"] for row in rows], list(rows[0])) == ([waiting], list(INVOCATION_FIELDS))
    for narrowed in (("--key", "Grace"), ("--search", "rac"), ("--status", "completed"), ("--handler", "put")):
        assert [row["target"] for row in run(COMMAND, "list", *narrowed, "--json").json] == ["baskets/Grace/put"]
    none = run(COMMAND, "list", "--service", "none")
    assert (none.out, none.said, none.code) == ("", "There are no such invocations.\n", 0)
    assert "--limit shows more" in run(COMMAND, "list", "--limit", "1").said
    assert run(COMMAND, "list", "--limit", "0").code == 2


def test_one_is_shown_with_its_journal(waiting: str):
    """What is known, and what it did; another exit code for one that does not exist."""
    shown = run(COMMAND, "show", waiting)
    assert ("orders/use_and_wait" in shown.out, "run 'store'" in shown.out) == (True, True)
    assert run(COMMAND, "show", waiting, "--json").json["invocation"]["id"] == waiting
    missing = run(COMMAND, "show", "inv_none")
    assert (missing.out, missing.code) == ("", 4)


def test_acting_asks_and_reports(waiting: str, monkeypatch: pytest.MonkeyPatch):
    """Without an answer nothing happens; refusals have their reasons, and the exit code 1."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    asked = run(COMMAND, "cancel", waiting)
    assert (asked.code, "Nothing was done" in asked.said) == (1, True)
    assert run(COMMAND, "pause", waiting).code == 0  # asks nobody
    assert run(COMMAND, "resume", waiting).out.strip() == waiting
    monkeypatch.setattr("builtins.input", lambda question: "yes" if waiting in question else "no")
    killed = run(COMMAND, "kill", waiting)
    assert (killed.out.strip(), killed.said.strip(), killed.code) == (waiting, "Killed: 1", 0)
    again = run(COMMAND, "cancel", waiting, "--no-input", "--json")
    assert (again.code, again.json["succeeded"], again.json["failed"][0]["invocation_id"]) == (1, [], waiting)
    restarted = run(COMMAND, "restart", waiting, "--no-input")
    assert restarted.out.startswith(f"{waiting} -> inv_")
    assert run(COMMAND, "purge", "--service", "baskets", "--no-input").said == "Purged: 1\n"
    assert run(COMMAND, "purge", "--service", "baskets", "--no-input").said.startswith("There are no such invocations.")


def test_what_cannot_be_meant(waiting: str):
    """Neither ids nor filters, both, or what is no id: exit code 2, and nothing happens."""
    for arguments in ((), (waiting, "--service", "orders"), ("../deployments",)):
        refused = run(COMMAND, "kill", *arguments, "--no-input")
        assert (refused.out, refused.code) == ("", 2)
    assert run(COMMAND, "list", "--status", "running", "--status", "suspended", "--json").json[0]["id"] == waiting


def test_a_runtime_that_cannot_be_asked(quick_client: Client):
    """Nobody there, a file that is not there, or memory of another process: exit codes, and words of this project."""
    runtime.stop()
    unreachable = "http://127.0.0.1:9"
    for given, code, text in (
        ({"URL": unreachable, "ADMIN_URL": unreachable, "SERVICE_URL": unreachable}, 3, "DURABLY in the settings"),
        ({"URL": "sqlite:////nowhere/durably.db"}, 3, "There is no file"),
        ({"URL": "memory://"}, 2, "no other can look"),
        ({"URL": "sqlite:///durably.db", "COLOUR": "red"}, 2, "colour"),
    ):
        with override_settings(DURABLY=given):
            outcome = run(COMMAND, "list")
        assert (outcome.code, text in outcome.said, "--" in outcome.said) == (code, True, False), outcome
