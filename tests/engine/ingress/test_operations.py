"""Operations of the ingress: from a request to an event, from an outcome to a response."""

from __future__ import annotations

import pytest

from durably.engine.actions import Accepted, Done, Failed, NotReady
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
from tests.engine.ingress.asgi import Reply, request
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


@pytest.mark.parametrize("length", [99, 100, 101])
async def test_keys_are_limited_in_bytes(length: int) -> None:
    """After decoding; the limit is inclusive."""
    api = FakeApi(limits=Limits(key_bytes=100))
    assert (await ask(api, "POST", f"/Obj/{'k' * length}/put")).status == (400 if length > 100 else 200)
    assert (await ask(api, "POST", f"/Obj/{'%E2%82%AC' * 34}/put")).status == 400
