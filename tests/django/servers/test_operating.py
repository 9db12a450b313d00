"""Admin pages and management commands of a project on a real Restate Server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.test import override_settings
from django.test.utils import setup_test_environment, teardown_test_environment

from durably.testing.served import AppServer
from durably.testing.server import RestateServer
from durably_django import sync_client
from durably_django.asgi import get_asgi_application
from durably_django.runtime import runtime
from tests.conformance.suite.binary import require_server
from tests.django.admin.browsing import browser, texts
from tests.django.commands.commanding import run
from tests.django.project.shop import durable as services

LIST = "/admin/durably/invocation/"
ALL = tuple(f"{each}_invocation" for each in ("view", "cancel", "kill", "pause", "resume", "restart", "purge"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the URL of a project that runs with a server, in this process, and has not told it of itself."""
    runtime.stop()
    serving = AppServer(get_asgi_application())
    with RestateServer(binary=require_server()) as restate:
        given = {"URL": restate.ingress_url, "ADMIN_URL": restate.admin_url, "SERVICE_URL": "http://127.0.0.1:9"}
        with override_settings(DURABLY=given, ROOT_URLCONF="tests.django.project.with_admin"):
            setup_test_environment()
            serving.start()
            try:
                yield serving.url
            finally:
                serving.stop()
                runtime.stop()
                teardown_test_environment()


def until(ask: Any) -> Any:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + 15
    while not (found := ask()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_project_is_registered_looked_at_and_acted_on(tables: None, server: str):
    """The commands and the pages do on a server what they do on an engine."""
    url = f"{server}/restate"
    assert run("durably_register", url, "--dry-run", "--json").json["is_new"]
    registered = run("durably_register", url)
    assert ("baskets" in registered.out, "Registered, over HTTP/2" in registered.said) == (True, True)
    assert "Registered already" in run("durably_register", url).said
    assert run("durably_register", url, "--force", "--use-http1.1", "--json").json["http_version"] == "HTTP/1.1"

    client = sync_client()
    for number in range(3):
        client.object_call(services.put, key="Grace's", arg=f"tea {number}")
    waiting = client.service_send(services.use_and_wait, "Ada").invocation_id
    boss = browser("boss", *ALL)
    page = f"{LIST}{quote(waiting)}/change/"
    until(lambda: len(boss.get(page).context["journal"].lines) == 2)
    assert boss.get(page).context["journal"].input == '"Ada"'
    listed = boss.get(LIST, {"q": "Grace's"}).context
    assert [row.state for row in listed["rows"]] == ["succeeded"] * 3
    assert {choice.label for group in listed["groups"] for choice in group.choices} >= {"orders", "baskets", "Failed"}

    form = {"action": "cancel", "_selected_action": waiting, "from": waiting, "sure": "yes"}
    assert texts(boss.submit(f"{LIST}act/", **form)) == ["Cancelled: 1 invocation."]
    until(lambda: boss.get(page).context["invocation"].state == "failed")
    assert run("durably_invocations", "show", waiting, "--json").json["invocation"]["completion_result"] == "failure"
    restarted = boss.submit(f"{LIST}act/", **{**form, "action": "restart"}).context["invocation"].id
    assert run("durably_invocations", "kill", restarted, "--no-input").out.strip() == restarted
    assert run("durably_invocations", "purge", "--service", "orders", "--no-input", "--json").json["failed"] == []
    assert boss.get(LIST, {"service": "orders"}).context["rows"] == []
