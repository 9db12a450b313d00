"""The layer around Django under ASGI, and the start under WSGI, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from durably_django import client, sync_client
from durably_django.asgi import DurableAsgi
from durably_django.runtime import Runtime, runtime
from durably_django.wsgi import get_wsgi_application
from tests.django.project.shop import durable as services

Event = dict[str, Any]


@pytest.fixture(autouse=True)
def stopped(quick_client: Client) -> Iterator[None]:
    """Begin and end without a runtime."""
    runtime.stop()
    yield
    runtime.stop()


async def serve(app: Any, scope: Event, *events: Event) -> list[Event]:
    """Serve one scope, and give what was sent."""
    pending, sent = list(events), []

    async def receive() -> Event:
        return pending.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    await app(scope, receive, send)
    return sent


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Stand in for Django."""
    await send({"type": "plain", "path": scope.get("path")})


STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}


def test_the_runtime_lives_as_long_as_the_server():
    """It runs after the startup, gives clients of both colours, and is stopped at the shutdown."""
    seen: list[Any] = []

    async def watch() -> list[Event]:
        pending = [STARTUP, SHUTDOWN]

        async def receive() -> Event:
            if len(pending) == 1:
                seen.append(await client().call(services.put, "apple", key="asgi"))
                seen.append(await asyncio.to_thread(lambda: sync_client().call(services.put, "pear", key="asgi")))
            return pending.pop(0)

        sent: list[Event] = []

        async def send(event: Event) -> None:
            sent.append(event)

        await DurableAsgi(plain)({"type": "lifespan"}, receive, send)
        return sent

    sent = asyncio.run(watch())
    assert [each["type"] for each in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert seen == [1, 2]
    assert runtime.invoke_app is None


def test_a_runtime_that_cannot_start_stops_the_server():
    """The server is told why, instead of serving a project whose handlers do not run."""
    from durably.errors import ConfigurationError

    with override_settings(DURABLY={"URL": "mysql://"}), pytest.raises(ConfigurationError):
        asyncio.run(serve(DurableAsgi(plain), {"type": "lifespan"}, STARTUP))


def test_only_the_servers_requests_pass_django_by():
    """With a Restate Server its routes are taken before Django, below a mount too; with the engine none is."""
    server = {"URL": "http://127.0.0.1:1", "ALLOW_UNSIGNED": True}
    head = {"type": "http", "method": "GET", "headers": [], "http_version": "1.1", "query_string": b"", "client": None}

    def ask(path: str, root: str = "") -> list[Event]:
        request = {"type": "http.request", "body": b"", "more_body": False}
        return asyncio.run(serve(DurableAsgi(plain), {**head, "path": path, "root_path": root}, request))

    assert [each["type"] for each in ask("/restate/discover")] == ["plain"]
    runtime.stop()
    with override_settings(DURABLY=server):
        assert ask("/restate/discover")[0]["type"] == "http.response.start"
        assert ask("/below/restate/discover", "/below")[0]["type"] == "http.response.start"
        assert ask("/restate/health")[0]["type"] == "plain"
        assert ask("/restated/discover")[0]["type"] == "plain"
        runtime.stop()


def test_wsgi_starts_with_the_worker():
    """The WSGI application comes with a runtime that runs; the health route says so."""
    get_wsgi_application()
    assert runtime.link.is_started
    answer = Client().get("/restate/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_request_goes_on_when_the_runtime_cannot_start(caplog: pytest.LogCaptureFixture):
    """A plain view is served all the same; health says what is wrong, and so does the log."""
    with override_settings(DURABLY={"URL": "mysql://"}):
        browser = Client(raise_request_exception=False)
        assert browser.get("/methods/4/").json() == {"plain": 4}
        assert browser.get("/restate/health").status_code == 503
    assert "could not be started" in caplog.text


def test_without_durable_views_nothing_is_found():
    """A runtime that was never started has nothing to stop."""
    fresh = Runtime()
    assert fresh.invoke_app is None
    fresh.stop()
