"""How outcomes become responses: status, headers, JSON."""

from __future__ import annotations

import pytest

from durably.engine.actions import Accepted, Done, Failed, FailureSource, NotReady, Outcome, Success
from durably.engine.ingress.app import IngressApp
from tests.engine.ingress.asgi import Reply, request
from tests.engine.ingress.fake_api import INVOCATION, NOW_MS, FakeApi

AWAKEABLE = "sign_1STxC7Rw88bwBjlJXuZgAfbf08_R-gJWEAAAAEQ"


async def ask(
    api: FakeApi, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Reply:
    """Send a request to the ingress of an engine."""
    return await request(IngressApp(api), method, target, headers or {}, body)


async def test_a_repeated_send_says_so() -> None:
    """With the first one's id."""
    reply = await ask(FakeApi(Accepted(INVOCATION, is_new=False)), "POST", "/Svc/any/send", {"idempotency-key": "i"})
    assert reply.json() == {"invocationId": INVOCATION, "status": "PreviouslyAccepted"}


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


def outcomes() -> list[Outcome]:
    """Every outcome that a call may have."""
    return [Success(INVOCATION, b""), Failed(500, "x"), Accepted(INVOCATION, True), NotReady(INVOCATION), Done()]


async def test_every_outcome_has_a_response() -> None:
    """None of them ends in an exception."""
    for outcome in outcomes():
        assert (await ask(FakeApi(outcome), "POST", "/Svc/any")).status >= 200
