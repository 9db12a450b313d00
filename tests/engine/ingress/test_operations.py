"""Operations of the ingress: from a request to an event, from an outcome to a response."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from durably.engine.actions import Accepted, Done, Failed, FailureSource, NotReady, Outcome, Success
from durably.engine.events import (
    Attach,
    CompleteAwakeable,
    GetOutput,
    IdempotentSelector,
    InvocationSelector,
    Invoke,
    WorkflowSelector,
)
from durably.engine.ingress.app import IngressApp
from durably.engine.records import Failure, Limits, Target
from durably.errors import EngineStoppedError, StoreFullError
from tests.engine.ingress.asgi import JSON, Exchange, Reply, post_json, request
from tests.engine.ingress.fake_api import INVOCATION, NOW_MS, FakeApi

AWAKEABLE = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"


async def ask(
    api: FakeApi, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send a request to the ingress of an engine."""
    return await request(IngressApp(api), method, target, headers or {}, body)


async def test_a_call_becomes_one_event_and_its_value_the_response() -> None:
    """Body verbatim, headers checked, key decoded, no send."""
    api = FakeApi()
    reply = await ask(api, "POST", "/Obj/a%2Fb/put?x=1", {"x-a": "1", "idempotency-key": "i"}, b"\x00\xff")
    assert api.events == [
        Invoke(
            Target("Obj", "a/b", "put"),
            b"\x00\xff",
            (("x-restate-ingress-path", "/Obj/a%2Fb/put?x=1"), ("x-a", "1")),
            0,
            idempotency_key="i",
        )
    ]
    assert (reply.status, reply.body) == (200, b'"ok"')
    assert reply.headers == {"x-restate-id": INVOCATION, "content-type": "application/json", "content-length": "4"}


async def test_get_calls_as_post_does() -> None:
    """As the real server does; browsers of other sites are refused before."""
    api = FakeApi()
    assert (await ask(api, "GET", "/Svc/any")).status == 200
    assert isinstance(api.events[0], Invoke)


@pytest.mark.parametrize(
    ("target", "delay_ms"),
    [
        ("/Svc/any/send", None),
        ("/Svc/any/send?delay=10s&DELAY=5s", 10_000),
        ("/restate/send/Svc/any?Delay=PT1M", 60_000),
    ],
)
async def test_a_send_is_answered_with_the_id(target: str, delay_ms: int | None) -> None:
    """And with the time at which a delayed one starts."""
    until = None if delay_ms is None else NOW_MS + delay_ms
    api = FakeApi(Accepted(INVOCATION, is_new=True, execution_time_ms=until))
    reply = await ask(api, "POST", target)
    event = api.events[0]
    assert isinstance(event, Invoke)
    assert (event.is_send, event.delay_until_ms) == (True, until)
    expected = {"invocationId": INVOCATION, "status": "Accepted"}
    if delay_ms == 10_000:
        expected["executionTime"] = "2026-11-23T09:12:19.479000000Z"
    assert reply.status == 202
    assert {name: reply.json()[name] for name in expected} == expected
    assert reply.headers["x-restate-id"] == INVOCATION


async def test_a_repeated_send_says_so() -> None:
    """With the first one's id."""
    reply = await ask(FakeApi(Accepted(INVOCATION, is_new=False)), "POST", "/Svc/any/send", {"idempotency-key": "i"})
    assert reply.json() == {"invocationId": INVOCATION, "status": "PreviouslyAccepted"}


@pytest.mark.parametrize(
    ("target", "headers", "status", "message"),
    [
        ("/Nope/any", {}, 404, "'Nope' not found"),
        ("/Svc/nope", {}, 404, "no handler 'nope'"),
        ("/%53vc/any", {}, 404, "not found"),
        ("/__class__/any", {}, 404, "not found"),
        ("/Obj/put", {}, 400, "bad path"),
        ("/Private/any", {}, 400, "not public"),
        ("/Svc/private", {}, 400, "not public"),
        ("/Obj/%ff/put", {}, 400, "UTF-8"),
        ("/Svc/any?delay=1s", {}, 400, "delay"),
        ("/Svc/any/send?delay=5", {}, 400, "unit"),
        ("/Svc/any/send?delay=600000w", {}, 400, "9999"),
        ("/Svc/any?limit-key=a", {}, 400, "scope"),
        ("/Svc/any", {"x-restate-limit-key": "a"}, 400, "scope"),
        ("/restate/scope/a%20b/call/Svc/any", {}, 400, "scope"),
        (f"/restate/scope/{'s' * 37}/call/Svc/any", {}, 400, "scope"),
        ("/Flow/k/run", {"idempotency-key": "i"}, 400, "workflow"),
        ("/Svc/json", {"content-type": "text/plain"}, 400, "Content-type"),
        ("/Svc/none", {"content-type": "application/json"}, 400, "neither"),
        ("/restate/awakeables/garbage/resolve", {}, 400, "awakeable"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_nothing_is_submitted(
    target: str, headers: dict[str, str], status: int, message: str
) -> None:
    """In the shape of the ingress: code, message, source."""
    api = FakeApi()
    reply = await ask(api, "POST", target, headers)
    assert reply.status == reply.json()["code"] == status
    assert message in reply.json()["message"]
    assert reply.json()["source"] == reply.headers["x-restate-error-source"] == "ingress"
    assert api.events == []


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


@pytest.mark.parametrize(
    ("outcome", "status", "body"),
    [
        (
            Failed(418, "boom", (("k", "v"),)),
            418,
            {"code": 418, "message": "boom", "metadata": {"k": "v"}, "source": "invocation"},
        ),
        (Failed(1000, "boom"), 500, {"code": 1000, "message": "boom", "source": "invocation"}),
        (Failed(99, "boom"), 500, {"code": 99, "message": "boom", "source": "invocation"}),
        (Failed(150, "boom"), 500, {"code": 150, "message": "boom", "source": "invocation"}),
        (Failed(999, "boom"), 999, {"code": 999, "message": "boom", "source": "invocation"}),
        (
            Failed(409, "a\r\nb\ud800", invocation_id=INVOCATION),
            409,
            {"code": 409, "message": "a\r\nb\ud800", "source": "invocation"},
        ),
        (Failed(404, "gone", source=FailureSource.INGRESS), 404, {"code": 404, "message": "gone", "source": "ingress"}),
    ],
)
async def test_failures_keep_code_message_and_metadata(outcome: Failed, status: int, body: dict[str, object]) -> None:
    """The status is the code where it can be a final one, else 500."""
    reply = await ask(FakeApi(outcome), "POST", "/Svc/any")
    assert (reply.status, reply.json()) == (status, body)
    assert reply.headers["x-restate-error-source"] == body["source"]


@pytest.mark.parametrize("status", [204, 205, 304])
async def test_a_status_without_a_body_has_none(status: int) -> None:
    """Servers refuse to send one."""
    reply = await ask(FakeApi(Failed(status, "boom")), "POST", "/Svc/any")
    assert (reply.status, reply.body) == (status, b"")


async def test_a_stored_result_tells_when_it_expires() -> None:
    """In the notation of the real server, with and without a fraction."""
    reply = await ask(FakeApi(Success(INVOCATION, b"1", expires_at=NOW_MS)), "GET", f"/restate/attach/{INVOCATION}")
    assert reply.headers["idempotency-expires"] == "2026-11-23T09:12:09.479+00:00"
    reply = await ask(FakeApi(Failed(500, "x", expires_at=NOW_MS - 479)), "GET", f"/restate/output/{INVOCATION}")
    assert reply.headers["idempotency-expires"] == "2026-11-23T09:12:09+00:00"


@pytest.mark.parametrize(
    ("target", "selector"),
    [
        (f"/restate/attach/{INVOCATION}", InvocationSelector(INVOCATION)),
        ("/restate/workflow/Flow/k/attach", WorkflowSelector("Flow", "k")),
        ("/restate/invocation/Svc/any/i/attach", IdempotentSelector("Svc", "", "any", "i")),
        ("/restate/invocation/Obj/k/put/i/attach", IdempotentSelector("Obj", "k", "put", "i")),
    ],
)
async def test_results_are_asked_for_by_path(target: str, selector: object) -> None:
    """Attach waits, output looks."""
    api = FakeApi()
    assert (await ask(api, "GET", target)).status == 200
    assert (await ask(api, "GET", target.replace("attach", "output"))).status == 200
    assert api.events == [Attach(selector, 0), GetOutput(selector, 0)]


@pytest.mark.parametrize(
    ("value", "selector"),
    [
        ({"target": "invocation", "invocationId": INVOCATION}, InvocationSelector(INVOCATION)),
        ({"target": "workflow", "workflowName": "Flow", "workflowKey": "k"}, WorkflowSelector("Flow", "k")),
        (
            {"target": "idempotentInvocation", "service": "Svc", "handler": "any", "idempotencyKey": "i"},
            IdempotentSelector("Svc", "", "any", "i"),
        ),
        (
            {"target": "idempotentInvocation", "service": "Obj", "key": "k", "handler": "put", "idempotencyKey": "i"},
            IdempotentSelector("Obj", "k", "put", "i"),
        ),
    ],
)
async def test_results_are_asked_for_by_body(value: dict[str, str], selector: object) -> None:
    """With any content type, as the real server reads it; look-up gives an id and asks nothing."""
    api = FakeApi()
    app = IngressApp(api)
    assert (await request(app, "POST", "/restate/attach", {}, json.dumps(value).encode())).status == 200
    assert (await post_json(app, "/restate/output", value)).status == 200
    assert api.events == [Attach(selector, 0), GetOutput(selector, 0)]
    found = await post_json(app, "/restate/lookup", value)
    assert found.json()["invocationId"].startswith("inv_1")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{bad", 500),
        (b"[]", 500),
        (b"{}", 500),
        (b'{"target":"nope"}', 500),
        (b'{"target":"invocation"}', 500),
        (b'{"target":"invocation","invocationId":1}', 500),
        (b'{"target":"invocation","invocationId":"bad"}', 400),
        (b'{"target":"workflow","workflowName":"Flow","workflowKey":"\\ud800"}', 500),
        (b'{"target":"invocation","invocationId":"x","scope":"s"}', 400),
        (b"[" * 100_000, 500),
        (b"1" * 10_000, 500),
    ],
)
async def test_bodies_that_name_nothing_are_refused(body: bytes, status: int) -> None:
    """What is no target is 500, as at the real server; nothing is submitted, however deep or long it is."""
    api = FakeApi()
    for path in ("/restate/attach", "/restate/lookup"):
        reply = await ask(api, "POST", path, JSON, body)
        assert (reply.status, reply.json()["source"]) == (status, "ingress")
    assert api.events == []


async def test_an_unknown_invocation_and_one_that_runs_have_no_output() -> None:
    """404 and 470 of the ingress; waiting for an unknown one is 404 of the invocation, with its id."""
    unknown = Failed(404, "not found", invocation_id=INVOCATION)
    reply = await ask(FakeApi(unknown), "GET", f"/restate/output/{INVOCATION}")
    assert (reply.status, reply.json()["source"], "x-restate-id" in reply.headers) == (404, "ingress", False)
    reply = await ask(FakeApi(unknown), "GET", f"/restate/attach/{INVOCATION}")
    assert (reply.status, reply.json()["source"], "x-restate-id" in reply.headers) == (404, "invocation", True)
    reply = await ask(FakeApi(NotReady(INVOCATION)), "GET", f"/restate/output/{INVOCATION}")
    assert (reply.status, reply.json()["code"]) == (470, 470)


@pytest.mark.parametrize("prefix", ["/restate/awakeables", "/restate/a"])
async def test_awakeables_are_completed_with_the_body(prefix: str) -> None:
    """A value verbatim, or a failure with its text; whatever the content type is."""
    api = FakeApi(Done())
    resolved = await ask(api, "POST", f"{prefix}/{AWAKEABLE}/resolve", {"content-type": "text/plain"}, b"\xff")
    rejected = await ask(api, "POST", f"{prefix}/{AWAKEABLE}/reject", {}, b"no\xff")
    assert api.events == [
        CompleteAwakeable(AWAKEABLE, b"\xff", 0),
        CompleteAwakeable(AWAKEABLE, Failure(500, "no\ufffd"), 0),
    ]
    assert [(reply.status, reply.body) for reply in (resolved, rejected)] == [(202, b"")] * 2


async def test_health_names_the_services() -> None:
    """For tools that wait until a service is there."""
    reply = await ask(FakeApi(), "GET", "/restate/health")
    assert (reply.status, reply.json()) == (200, {"services": ["Svc", "Obj", "Flow", "Private"]})


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


@pytest.mark.parametrize("length", [99, 100, 101])
async def test_keys_are_limited_in_bytes(length: int) -> None:
    """After decoding; the limit is inclusive."""
    api = FakeApi(limits=Limits(key_bytes=100))
    assert (await ask(api, "POST", f"/Obj/{'k' * length}/put")).status == (400 if length > 100 else 200)
    assert (await ask(api, "POST", f"/Obj/{'%E2%82%AC' * 34}/put")).status == 400


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


async def test_a_client_that_goes_amid_its_body_submits_nothing() -> None:
    """Half a request is none."""
    api = FakeApi()
    exchange = Exchange(IngressApp(api), "POST", "/Svc/any")
    exchange.send_body(b"half", more=True)
    exchange.disconnect()
    assert await exchange.run() is None
    assert api.events == []


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


def outcomes() -> list[Outcome]:
    """Every outcome that a call may have."""
    return [Success(INVOCATION, b""), Failed(500, "x"), Accepted(INVOCATION, True), NotReady(INVOCATION), Done()]


async def test_every_outcome_has_a_response() -> None:
    """None of them ends in an exception."""
    for outcome in outcomes():
        assert (await ask(FakeApi(outcome), "POST", "/Svc/any")).status >= 200
