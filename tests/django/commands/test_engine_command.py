"""`durably_engine`: an engine of its own, for a project that embeds one and for a project that calls one."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from django.test import Client, override_settings

from durably.engine import cli
from durably.engine.options import EngineOptions, Limits, RetryPolicy
from durably.protocol.manifest import OnMaxAttempts
from durably.testing.ports import free_port
from durably_django import sync_client
from durably_django.runtime import runtime
from tests.django.admin.browsing import browser
from tests.django.commands.commanding import run
from tests.django.commands.test_invocations_command import until
from tests.django.project import settings as project
from tests.django.project.shop import durable as services

LIST: Final = "/admin/durably/invocation/"
ROOT: Final = Path(__file__).parents[3]


@contextmanager
def engine(url: str, *arguments: str, **settings: str) -> Iterator[dict[str, str]]:
    """Run the command in a process; gives where its two APIs are, and ends it with SIGTERM."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.django.project.settings",
        "PROJECT_FOLDER": str(project.DATABASES["default"]["NAME"].parent),  # which has its tables
        "PROJECT_URL": url,
        **settings,
    }
    command = [sys.executable, "-m", "django", "durably_engine", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:3] == ["durably", "engine", "ready:"]
        yield {"ingress": words[4], "admin": words[6]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_web_workers_forward_to_it(tmp_path: Path, quick_client: Client):
    """It drives the file and runs handlers; a worker forwards, pages and commands act, and the worker takes over."""
    url = f"sqlite:///{tmp_path / 'engine.db'}"
    with override_settings(DURABLY={"URL": url}):
        with engine(url, "--ingress-port", "0", "--admin-port", "0") as apis:
            started = sync_client().service_send(services.use_and_wait, "Ada").invocation_id
            worker: Any = runtime.link.engine
            assert not worker.is_driving
            until(lambda: len(run("durably_invocations", "show", started, "--json").json["entries"]) == 2)
            over_http = httpx.post(f"{apis['ingress']}/baskets/Grace/put", json="tea")
            assert (over_http.status_code, over_http.json()) == (200, 1)
            assert sync_client().object_call(services.put, key="Grace", arg="tea") == 2
            boss = browser("boss", "view_invocation", "pause_invocation", "cancel_invocation")
            form = {"action": "pause", "_selected_action": started}
            with override_settings(ROOT_URLCONF="tests.django.project.with_admin"):
                assert started in boss.get(LIST).content.decode()
                assert "Paused: 1 invocation." in boss.submit(f"{LIST}act/", **form).content.decode()
            runtime.stop()
            assert run("durably_invocations", "resume", started).code == 0
            assert run("durably_invocations", "cancel", started, "--no-input").code == 0
            assert sync_client() is not None  # the worker again
        until(lambda: runtime.link.engine is not None and runtime.link.engine.is_driving)
        assert sync_client().object_call(services.put, key="Grace", arg="tea") == 3
        assert run("durably_invocations", "list", "--json").json[-1]["completion_failure"].startswith("[409]")
    runtime.stop()
    alone = run("durably_invocations", "list")  # nothing runs, and the settings say memory
    assert alone.code == 2


def test_an_engine_that_is_called(tmp_path: Path):
    """Where the project names an engine by URL, it listens there, on a file of its own."""
    ingress, admin = free_port(), free_port()
    url, admin_url = f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}"
    settings = {"PROJECT_ADMIN_URL": admin_url, "PROJECT_SERVICE_URL": "http://127.0.0.1:9"}
    with engine(url, "--db", str(tmp_path / "apart.db"), **settings) as apis:
        assert apis == {"ingress": url, "admin": admin_url}
        with override_settings(DURABLY={"URL": url, "ADMIN_URL": admin_url, "SERVICE_URL": "http://127.0.0.1:9"}):
            assert run("durably_invocations", "list", "--json").json == []
    assert (tmp_path / "apart.db").exists()


@pytest.mark.parametrize(
    ("url", "arguments", "text"),
    [
        ("memory://", (), "memory of one process"),
        ("sqlite:///one.db", ("--db", "other.db"), "is not the file of the project"),
        ("sqlite:////nowhere/engine.db", ("--ingress-port", "0", "--admin-port", "0"), "/nowhere"),
        ("sqlite:///one.db", ("--host", "0.0.0.0"), "needs a token"),
    ],
)
def test_what_cannot_start_says_why(quick_client: Client, url: str, arguments: tuple[str, ...], text: str):
    """An error of the command, with a remedy; nothing listens afterwards."""
    with override_settings(DURABLY={"URL": url}):
        outcome = run("durably_engine", *arguments)
    assert (outcome.out, outcome.code != 0, text in outcome.said) == ("", True, True), outcome


def test_it_runs_with_the_options_of_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What the command line does not say is as in the settings, which the web workers read too."""
    seen: list[EngineOptions] = []

    async def serve(arguments: argparse.Namespace, *_: object) -> int:
        seen.append(cli._options(arguments))
        return 0

    monkeypatch.setattr(cli, "serve", serve)
    policy = RetryPolicy(max_attempts=3, on_max_attempts=OnMaxAttempts.KILL)
    options = EngineOptions(retry_policy=policy, journal_retention_ms=7, limits=Limits(future_depth=9))
    with override_settings(DURABLY={"URL": f"sqlite:///{tmp_path}/engine.db", "OPTIONS": options}):
        assert run("durably_engine").code == 0
        assert run("durably_engine", "--journal-retention", "5s").code == 0
    assert seen == [options, replace(options, journal_retention_ms=5000)]
