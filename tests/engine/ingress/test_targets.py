"""Invocations that a JSON body names, for attach, output and look-up."""

from __future__ import annotations

import json

import pytest

from durably.engine.events import (
    Attach,
    GetOutput,
    IdempotentSelector,
    InvocationSelector,
    WorkflowSelector,
)
from durably.engine.ingress.app import IngressApp
from tests.engine.ingress.asgi import JSON, Reply, post_json, request
from tests.engine.ingress.fake_api import INVOCATION, FakeApi

AWAKEABLE = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"


async def ask(
    api: FakeApi, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send a request to the ingress of an engine."""
    return await request(IngressApp(api), method, target, headers or {}, body)


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
