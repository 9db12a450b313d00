"""The ingress against a real server: the same requests, answers of the same shape.

What differs on purpose is not asked here: credentials are not handed to handlers, browsers of other sites are refused,
idempotency keys in paths are decoded, limits are lower.
"""

from __future__ import annotations

import json

import pytest

from tests.engine.ingress.asgi import JSON, Reply
from tests.engine.ingress.sides import Side, shape

Sides = tuple[Side, Side]
Ask = tuple[str, str, dict[str, str], bytes]

UNKNOWN = "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"
TEXT = {"content-type": "text/plain"}


def post(target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Ask:
    """A POST."""
    return "POST", target, headers or {}, body


def get(target: str) -> Ask:
    """A GET."""
    return "GET", target, {}, b""


def target(**fields: str) -> bytes:
    """A body that names an invocation."""
    return json.dumps(fields).encode()


CALLS = [
    post("/Probe/greet", JSON, b'"Bob"'),
    post("/Probe/greet/", JSON, b'"Bob"'),
    post("//Probe/plain//"),
    post("/restate/call/Probe/greet", JSON, b'"Bob"'),
    get("/Probe/plain"),
    get("/Probe/greet"),
    post("/Probe/greet", {}, b'"Bob"'),
    post("/Probe/greet", JSON),
    post("/Probe/greet", TEXT, b'"Bob"'),
    post("/Probe/greet", {"content-type": "application/json; charset=utf-8"}, b'"Bob"'),
    post("/Probe/greet", {"content-type": "APPLICATION/JSON"}, b'"Bob"'),
    post("/Probe/greet", {"content-type": "application/*"}, b'"Bob"'),
    post("/Probe/plain", JSON),
    post("/Probe/plain", {}, b"x"),
    post("/Probe/echo", {"content-type": "application/x-any"}, b"\x00\xff"),
    post("/Probe/echo", {}, b"\x00\xff"),
    post("/Probe/echo"),
    post("/Probe/nothing"),
    post("/Probe/headers?x=1", {"x-a": "1", "accept": "*/*"}),
    *(post("/Probe/fail", JSON, str(code).encode()) for code in (0, 99, 204, 304, 404, 418, 470, 999, 1000, 65535)),
]
REFUSALS = [
    post("/Nope/greet"),
    post("/Probe/nope"),
    post("/%50robe/plain"),
    post("/Probe/pl%61in"),
    post("/Hidden/secret"),
    post("/"),
    post("/Probe"),
    get("/openapi"),
    post("/Probe%2Fplain"),
    post("/Probe//plain"),
    post("/Probe/k/greet", JSON, b'"x"'),
    post("/Thing/put", JSON, b"1"),
    post("/Probe/a/b/c/d/e/f/g"),
    post("/restate"),
    post("/restate/foo"),
    post("/restate/call/Probe/plain/send"),
    post("/restate/call/Thing/key"),
    post("/restate/health"),
    post("/restate/scope/s/call/Probe/plain"),
    post("/restate/scope/b%20d/call/Probe/plain"),
    post("/Probe/plain", {"x-restate-limit-key": "a"}),
    post("/Probe/plain?limit-key=a"),
    post("/Probe/plain?delay=10s"),
    post("/Flow/k/run", JSON | {"idempotency-key": "x"}, b'"a"'),
    *((method, "/Probe/plain", {}, b"") for method in ("PUT", "DELETE")),
]
DELAYS = [
    post(f"/Probe/plain/send?delay={delay}")
    for delay in (
        *("1d", "P1D", "60ms", "0", "1h%2030m", "1%20hour,%202%20minutes", "PT1.5S", "00:10:00", "%31%30s", "10+s"),
        *("10s&delay=bad", "5", "", "-10s", "10s%20ago", "10S", "1y", "P1Y2M", "abc", "PT", "PT10S5M", "+10s", "1e3s"),
    )
]
KEYS = [
    post(f"/Thing/{key}/key")
    for key in (
        *("a%2Fb%3Fc%23d", "..", "%2e%2e", ".", "%00", "%ff", "%C0%AF", "%25", "%252F", "a+b", "a%20b", "%E2%82%AC"),
        *("%0d%0a", "x;y=1", "%zz", "%", "", "'%20or%201=1--", "%E2%80%AE"),
    )
]
WORKFLOWS = [
    post("/Flow/w1/run", JSON, b'"a"'),
    post("/Flow/w1/run", JSON, b'"a"'),
    post("/Flow/w1/run/send", JSON, b'"a"'),
    post("/Flow/w1/peek"),
    *(
        get(f"/restate/workflow/{path}/{action}")
        for path in ("Flow/w1", "Flow/nope", "Nope/w1", "Thing/w1", "Flow/%ff", "Flow")
        for action in ("attach", "output")
    ),
    post("/restate/workflow/Flow/w1/attach"),
]
IDEMPOTENT = [
    post("/Probe/plain", {"idempotency-key": "k1"}),
    post("/Probe/plain", {"idempotency-key": "k1"}),
    post("/Probe/plain/send", {"idempotency-key": "k1"}),
    post("/Probe/fail", JSON | {"idempotency-key": "k2"}, b"418"),
    post("/Probe/fail", JSON | {"idempotency-key": "k2"}, b"418"),
    *(
        get(f"/restate/invocation/{path}/{action}")
        for path in (
            *("Probe/plain/k1", "Probe/fail/k2", "Probe/plain/nope", "Thing/k/key/nope", "Thing/key/nope"),
            *("Nope/k/key/x", "Probe/nope/k1", UNKNOWN, "garbage"),
        )
        for action in ("attach", "output")
    ),
    get("/restate/invocation/Probe/plain/k1/foo"),
    *(get(f"/restate/{action}/{id}") for action in ("attach", "output") for id in (UNKNOWN, "garbage")),
]
TARGETS = [
    post(f"/restate/{action}", JSON, body)
    for action in ("attach", "output", "lookup")
    for body in (
        target(target="invocation", invocationId=UNKNOWN),
        target(target="invocation", invocationId="bad"),
        target(target="workflow", workflowName="Flow", workflowKey="nope"),
        target(target="idempotentInvocation", service="Probe", handler="plain", idempotencyKey="nope"),
        target(target="idempotentInvocation", service="Thing", key="k", handler="key", idempotencyKey="nope"),
        target(target="nope"),
        target(target="invocation"),
        b"{}",
        b"{bad",
    )
]
AWAKEABLES = [
    *(
        post(f"/restate/{path}")
        for path in (
            *("awakeables/bad/resolve", "awakeables/sign_1xx/reject", "awakeables/x", "awakeables"),
            "a/sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ/resolve",
            "a/sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ/foo",
        )
    ),
    get("/restate/a/sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ/resolve"),
]


@pytest.mark.parametrize(
    "requests",
    [CALLS, REFUSALS, DELAYS, KEYS, WORKFLOWS, IDEMPOTENT, TARGETS, AWAKEABLES],
    ids=["calls", "refusals", "delays", "keys", "workflows", "idempotent", "targets", "awakeables"],
)
def test_the_same_requests_get_the_same_answers(sides: Sides, requests: list[Ask]) -> None:
    """Status, headers and the shape of the JSON agree, request by request."""
    ours, real = sides
    differing: list[str] = []
    for method, path, headers, body in requests:
        answers = [shape(side.ingress(method, path, headers, body)) for side in (ours, real)]
        if answers[0] != answers[1]:
            differing.append(f"{method} {path} {headers} {body!r}\n  engine {answers[0]}\n  server {answers[1]}")
    assert not differing, "\n".join(differing)


def resolved(side: Side) -> list[Reply]:
    """Reject an awakeable with bytes that are no text, then look at what its handler makes of it."""
    waiting = side.send("/Probe/wait/send")
    sql = f"SELECT raw FROM sys_journal WHERE id = '{waiting}' AND entry_type = 'Notification: Run'"
    while not (rows := side.rows(sql)):
        pass
    raw = bytes.fromhex(rows[0]["raw"])
    awakeable = raw[raw.index(b"sign_1") :].split(b'"')[0].decode()
    running = side.ingress("GET", f"/restate/output/{waiting}")
    rejected = side.ingress("POST", f"/restate/awakeables/{awakeable}/reject", TEXT, b"no\xff")
    return [running, rejected, side.ingress("GET", f"/restate/attach/{waiting}")]


def test_an_awakeable_is_rejected_alike(sides: Sides) -> None:
    """470 before, 202, then the failure with the text; what is no UTF-8 is replaced."""
    answers = [resolved(side) for side in sides]
    assert [reply.status for reply in answers[0]] == [reply.status for reply in answers[1]] == [470, 202, 500]
    assert answers[0][2].json() == answers[1][2].json()


def test_health_names_the_same_services(sides: Sides) -> None:
    """Private ones too."""
    names = [sorted(side.ingress("GET", "/restate/health").json()["services"]) for side in sides]
    assert names[0] == names[1] == ["Flow", "Hidden", "Probe", "Thing"]
