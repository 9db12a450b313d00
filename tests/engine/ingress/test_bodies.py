"""Reading bodies: limits, and clients that go before the end."""

from __future__ import annotations

import asyncio

import pytest

from durably.engine.engine import Engine
from durably.engine.ingress.app import IngressApp
from durably.engine.records import Limits
from tests.engine.ingress.asgi import JSON, Exchange, Reply, request
from tests.engine.ingress.fake_api import FakeApi
from tests.engine.ingress.probe import SERVICES

AWAKEABLE = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"


async def ask(
    api: FakeApi, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send a request to the ingress of an engine."""
    return await request(IngressApp(api), method, target, headers or {}, body)


@pytest.mark.parametrize("size", [999, 1000, 1001])
async def test_bodies_are_limited(size: int) -> None:
    """The limit is inclusive, whether the length is declared or found out."""
    limits = Limits(body_bytes=1000)
    expected = 413 if size > 1000 else 200
    for headers in ({"content-length": str(size)}, {}):
        assert (await ask(FakeApi(limits=limits), "POST", "/Svc/any", headers, b"x" * size)).status == expected
    exchange = Exchange(IngressApp(FakeApi(limits=limits)), "POST", "/Svc/any")
    exchange.send_body(b"x" * 600, more=True)
    exchange.send_body(b"x" * (size - 600), more=size > 1000)
    reply = await exchange.run()
    assert reply is not None
    assert reply.status == expected


async def test_what_fits_in_no_message_is_refused() -> None:
    """A service would refuse the message that brings it, at every attempt."""
    api = FakeApi(limits=Limits(message_bytes=1000))
    assert (await ask(api, "POST", "/Svc/any", {}, b"x" * 1000)).status == 413
    assert (await ask(api, "POST", "/Svc/any", {"x-a": "x" * 800}, b"x" * 200)).status == 413
    assert (await ask(api, "POST", "/Svc/any", {}, b"x" * 800)).status == 200


async def test_a_client_that_goes_amid_its_body_submits_nothing() -> None:
    """Half a request is none."""
    api = FakeApi()
    exchange = Exchange(IngressApp(api), "POST", "/Svc/any")
    exchange.send_body(b"half", more=True)
    exchange.disconnect()
    assert await exchange.run() is None
    assert api.events == []


BOMBS = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "unclosed": b"[" * 1_000_000,
    "a million digits": b"1" * 1_000_000,
    "no number": b"NaN",
    "half a character": b'"\\ud800"',
    "no UTF-8": b'"\xff\xfe"',
    "wide": b"[" + b"0," * 500_000 + b"0]",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_json_that_is_made_to_break_readers_is_a_400(body: bytes):
    """The invocation fails for good, and soon; the text is short and does not repeat the input."""
    with Engine("memory://", SERVICES) as engine:
        reply = asyncio.run(request(engine.ingress_app, "POST", "/Probe/greet", JSON, body))
    assert reply.status == 400
    assert len(reply.body) < 500
