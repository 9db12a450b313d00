"""The ingress as an application: methods, mounting, health, clients that go, an engine that cannot store."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durably.engine.events import (
    Invoke,
)
from durably.engine.ingress.app import IngressApp
from durably.engine.records import Target
from durably.errors import EngineStoppedError, StoreFullError
from tests.engine.ingress.asgi import Exchange, Reply, request
from tests.engine.ingress.fake_api import INVOCATION, FakeApi

AWAKEABLE = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"


async def ask(
    api: FakeApi, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send a request to the ingress of an engine."""
    return await request(IngressApp(api), method, target, headers or {}, body)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_are_refused(method: str) -> None:
    """Only GET and POST mean anything."""
    assert (await ask(FakeApi(), method, "/Svc/any")).status == 405


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/restate/health"),
        ("POST", f"/restate/attach/{INVOCATION}"),
        ("POST", "/restate/workflow/Flow/k/output"),
        ("GET", "/restate/attach"),
        ("GET", "/restate/lookup"),
        ("GET", f"/restate/awakeables/{AWAKEABLE}/resolve"),
    ],
)
async def test_each_route_has_its_method(method: str, target: str) -> None:
    """What changes something is POST, results are GET."""
    assert (await ask(FakeApi(), method, target)).status == 405


async def test_health_names_the_services() -> None:
    """For tools that wait until a service is there."""
    reply = await ask(FakeApi(), "GET", "/restate/health")
    assert (reply.status, reply.json()) == (200, {"services": ["Svc", "Obj", "Flow", "Private"]})


async def test_paths_are_limited() -> None:
    """A path of 64 KiB is too long for anything."""
    assert (await ask(FakeApi(), "POST", "/Obj/" + "k" * 65536 + "/put")).status == 414


@pytest.mark.parametrize("error", [StoreFullError("full"), EngineStoppedError("stopped")])
async def test_an_engine_that_cannot_store_is_not_available(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """503 with a time to try again; the log names the kind and nothing of the request."""
    with caplog.at_level(logging.DEBUG):
        reply = await ask(FakeApi(error), "POST", "/Svc/any", {"x-a": "canary"}, b"canary")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "canary" not in caplog.text


async def test_a_client_that_goes_is_waited_for_no_more() -> None:
    """The waiting stops, the invocation goes on; nothing is sent to nobody."""
    api = FakeApi()
    api.never = True
    exchange = Exchange(IngressApp(api), "POST", "/Svc/any")
    exchange.send_body(b"")
    running = asyncio.ensure_future(exchange.run())
    await api.waiting.wait()
    exchange.disconnect()
    assert await asyncio.wait_for(running, 5) is None
    assert api.cancelled


async def test_an_ingress_can_be_mounted() -> None:
    """Below a path, which is no part of the route."""
    api = FakeApi()
    reply = await request(IngressApp(api), "POST", "/durable/Obj/a%2Fb/put", root_path="/durable")
    assert reply.status == 200
    event = api.events[0]
    assert isinstance(event, Invoke)
    assert event.target == Target("Obj", "a/b", "put")


async def test_a_server_without_raw_paths_is_served_too() -> None:
    """Keys without slashes work; what such a server decoded cannot be told apart."""
    api = FakeApi()
    exchange = Exchange(IngressApp(api), "POST", "/Obj/%E2%82%AC%25/put")
    del exchange.scope["raw_path"]
    exchange.send_body(b"")
    await exchange.run()
    event = api.events[0]
    assert isinstance(event, Invoke)
    assert event.target.key == "€%"
