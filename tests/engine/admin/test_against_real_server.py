"""The admin API against a real server: the same requests, answers of the same shape.

What differs on purpose is not asked here: values of additional headers are hidden, a reserved or unknown service is
refused earlier, texts are ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.engine.ingress.asgi import JSON, Reply
from tests.engine.ingress.conftest import sides
from tests.engine.ingress.sides import Side, shape

__all__ = ["sides"]

Sides = tuple[Side, Side]
Script = Callable[[Side], list[Reply]]

UNKNOWN = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"
UNKNOWN_DEPLOYMENT = "dp_11hJYTzdJRnXy2yKfsVBNra"
OPERATIONS = ("cancel", "kill", "purge", "purge-journal", "pause", "resume", "restart-as-new")


def settled(side: Side, invocation: str, status: str) -> str:
    """Wait until an invocation has a status."""
    deadline = time.monotonic() + 10
    while [row["status"] for row in side.rows(f"SELECT status FROM sys_invocation WHERE id = '{invocation}'")] != [
        status
    ]:
        assert time.monotonic() < deadline, f"{invocation} is not {status}"
    return invocation


def completed(side: Side) -> str:
    """An invocation that has completed."""
    invocation = side.send("/Probe/plain/send", **{"idempotency-key": f"done-{time.monotonic_ns()}"})
    return settled(side, invocation, "completed")


def registry(side: Side) -> list[Reply]:
    """Read what is registered."""
    paths = [
        *("/version", "/v2/version", "/v3/version", "/v1/version", "/health", "/subscriptions"),
        *("/services", "/services/Probe", "/services/Thing", "/services/Flow", "/services/Hidden", "/services/Nope"),
        *("/services/Probe/handlers", "/services/Probe/handlers/greet", "/services/Probe/handlers/echo"),
        *("/services/Probe/handlers/nope", "/services/Nope/handlers", "/services/Nope/openapi"),
        *(f"/deployments/{UNKNOWN_DEPLOYMENT}", "/deployments/bad", "/deployments/dp_1xx"),
    ]
    return [side.admin("GET", path) for path in paths]


def refused_registrations(side: Side) -> list[Reply]:
    """Ask for what cannot be registered."""
    values: list[object] = [{}, {"uri": 1}, {"nope": 1}, {"uri": "garbage"}, {"uri": "http://127.0.0.1:1"}]
    return [
        *(side.admin_json("POST", "/deployments", value) for value in values),
        side.admin("POST", "/deployments", JSON, b"{bad"),
        side.admin("POST", "/deployments", {}, b'{"uri":"http://127.0.0.1:1"}'),
        side.admin("POST", "/deployments", {"content-type": "text/plain"}, b'{"uri":"http://127.0.0.1:1"}'),
        side.admin("DELETE", f"/deployments/{UNKNOWN_DEPLOYMENT}"),
        side.admin("DELETE", f"/deployments/{UNKNOWN_DEPLOYMENT}?force=true"),
        side.admin("DELETE", "/deployments/bad?force=true"),
        side.admin_json("PATCH", f"/deployments/{UNKNOWN_DEPLOYMENT}", {}),
    ]


def patches(side: Side) -> list[Reply]:
    """Change options of services, and change them back."""
    changes: list[tuple[str, object]] = [
        ("Probe", {"public": False}),
        ("Probe", {"public": True, "idempotency_retention": "2d", "journal_retention": "1h 30m"}),
        ("Probe", {"inactivity_timeout": "90s", "abort_timeout": "PT5M"}),
        ("Probe", {}),
        ("Probe", {"foo": 1}),
        ("Probe", {"public": None}),
        ("Probe", {"public": "x"}),
        ("Probe", {"idempotency_retention": "bad"}),
        ("Probe", {"idempotency_retention": "1y"}),
        ("Probe", {"workflow_completion_retention": "2d"}),
        ("Flow", {"workflow_completion_retention": "2d"}),
        ("Nope", {"public": True}),
        ("Hidden", {"public": True}),
    ]
    replies: list[Reply] = []
    for service, value in changes:
        replies.append(side.admin_json("PATCH", f"/services/{service}", value))
        replies.append(side.ingress("POST", "/Probe/plain"))
    replies.append(side.ingress("POST", "/Hidden/secret"))
    side.admin_json("PATCH", "/services/Hidden", {"public": False})
    return replies


def state_edits(side: Side) -> list[Reply]:
    """Replace state, well and badly."""
    values: list[object] = [
        {"object_key": "edited", "new_state": {"value": [52, 50]}},
        {"object_key": "edited", "new_state": {"value": [500]}},
        {"object_key": "edited"},
        {"object_key": "edited", "new_state": {"value": [49]}, "version": "outdated"},
    ]
    replies = [side.admin_json("POST", "/services/Thing/state", value) for value in values]
    replies.append(side.admin_json("POST", "/services/Probe/state", {"object_key": "k", "new_state": {}}))
    return replies


def lifecycle(side: Side) -> list[Reply]:
    """Do everything to invocations in every state."""
    sleeping = side.send("/Probe/sleep/send")
    scheduled = side.send("/Probe/plain/send?delay=1h")
    holding = side.send("/Thing/lifecycle/hold/send")
    inboxed = side.send("/Thing/lifecycle/put/send", b"1", **JSON)
    flow = side.ingress("POST", "/Flow/lifecycle/run", JSON, b'"a"').headers["x-restate-id"]
    done = completed(side)
    settled(side, inboxed, "pending")

    def patch(invocation: str, operation: str) -> Reply:
        return side.admin("PATCH", f"/invocations/{invocation}/{operation}")

    not_completed = (sleeping, scheduled, inboxed)
    return [
        *(patch(invocation, operation) for operation in OPERATIONS for invocation in (UNKNOWN, "bad")),
        *(patch(id, operation) for operation in ("purge", "purge-journal", "restart-as-new") for id in not_completed),
        *(patch(id, operation) for operation in ("pause", "resume") for id in (done, scheduled, inboxed)),
        *(patch(done, operation) for operation in ("cancel", "kill", "restart-as-new", "restart-as-new?from=x")),
        *(patch(done, f"restart-as-new?{query}") for query in ("from=99", "deployment=bad")),
        patch(done, f"restart-as-new?deployment={UNKNOWN_DEPLOYMENT}"),
        patch(flow, "restart-as-new"),
        patch(done, "purge-journal"),
        patch(done, "restart-as-new"),
        patch(done, "purge"),
        patch(done, "purge"),
        patch(scheduled, "cancel"),
        patch(inboxed, "kill"),
        patch(sleeping, "cancel"),
        patch(holding, "kill"),
        patch(holding, "resume?deployment=bad"),
        side.admin("DELETE", f"/invocations/{UNKNOWN}"),
        side.admin("DELETE", f"/invocations/{UNKNOWN}?mode=kill"),
        side.admin("DELETE", f"/invocations/{UNKNOWN}?mode=foo"),
        side.admin("DELETE", "/invocations/bad"),
    ]


def batches(side: Side) -> list[Reply]:
    """Do it to several at once."""
    done, sleeping = completed(side), side.send("/Probe/sleep/send")
    settled(side, sleeping, "running")

    def batch(operation: str, value: object) -> Reply:
        return side.admin_json("POST", f"/internal/invocations_batch_operations/{operation}", value)

    both = {"invocation_ids": [done, sleeping, UNKNOWN]}
    return [
        *(batch(operation, both) for operation in ("restart-as-new", "purge-journal", "purge", "cancel")),
        batch("kill", {"invocation_ids": ["bad"]}),
        batch("kill", {}),
        batch("kill", {"invocation_ids": [UNKNOWN] * 1001}),
        batch("resume", {"invocation_ids": []}),
    ]


@pytest.mark.parametrize(
    "script",
    [registry, refused_registrations, patches, state_edits, lifecycle, batches],
    ids=lambda script: script.__name__,
)
def test_the_same_requests_get_the_same_answers(sides: Sides, script: Script) -> None:
    """Status, headers and the shape of the JSON agree, answer by answer."""
    ours, real = (script(side) for side in sides)
    differing = [
        f"answer {number}\n  engine {left}\n  server {right}"
        for number, (left, right) in enumerate(
            (shape(one), shape(other)) for one, other in zip(ours, real, strict=True)
        )
        if left != right
    ]
    assert not differing, "\n".join(differing)
