"""How outcomes become responses of the ingress.

| outcome | response |
|---|---|
| `Success` | 200, the value, content type by the output descriptor, `x-restate-id` |
| `Accepted` | 202 `{"invocationId", "executionTime"?, "status"}` |
| `Failed` of an invocation | its code if 200 to 999, else 500; `{"code", "message", "metadata"?, "source"}` |
| `Failed` of the ingress | its code; `{"code", "message", "source"}` |
| `NotReady` | 470 |
| `Done` | 202, empty |
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from durably.engine.actions import Accepted, Done, Failed, FailureSource, NotReady, Outcome, Success
from durably.engine.ingress.bodies import Answer, json_bytes
from durably.engine.ingress.descriptors import output_content_type
from durably.engine.ingress.durations import rfc_3339
from durably.engine.records import HandlerRecord

__all__ = ["answer_of", "refusal"]

_JSON: Final = ("content-type", "application/json")
_NOT_READY: Final = 470


def refusal(status: int, message: str, *headers: tuple[str, str]) -> Answer:
    """Answer a request that the ingress refuses."""
    body = json_bytes({"code": status, "message": message, "source": FailureSource.INGRESS.value})
    return Answer(status, (("x-restate-error-source", FailureSource.INGRESS.value), _JSON, *headers), body)


def answer_of(outcome: Outcome, handler: HandlerRecord | None = None) -> Answer:
    """Write the response to an outcome.

    Args:
        outcome: Of a submitted event.
        handler: Whose value it is, for the content type; None where it is not known.
    """
    match outcome:
        case Success(invocation_id, value, expires_at):
            headers = [("x-restate-id", invocation_id), *_expires(expires_at)]
            content_type = output_content_type(handler.output if handler else None, is_empty=not value)
            if content_type is not None:
                headers.append(("content-type", content_type))
            return Answer(200, tuple(headers), value)
        case Failed():
            return _failed(outcome)
        case Accepted(invocation_id, is_new, execution_time_ms):
            body: dict[str, Any] = {"invocationId": invocation_id}
            if execution_time_ms is not None:
                body["executionTime"] = rfc_3339(execution_time_ms)
            body["status"] = "Accepted" if is_new else "PreviouslyAccepted"
            return Answer(202, (_JSON, ("x-restate-id", invocation_id)), json_bytes(body))
        case NotReady():
            return refusal(_NOT_READY, "the invocation exists but has not completed yet")
        case Done():
            return Answer(202)
        case _:
            raise AssertionError(f"the ingress asks for nothing that ends in {outcome!r}")


def _failed(failed: Failed) -> Answer:
    if failed.source is not FailureSource.INVOCATION:
        return refusal(failed.code, failed.message)
    body: dict[str, Any] = {"code": failed.code, "message": failed.message}
    if failed.metadata:
        body["metadata"] = dict(failed.metadata)
    body["source"] = FailureSource.INVOCATION.value
    headers: list[tuple[str, str]] = []
    if failed.invocation_id is not None:
        headers.append(("x-restate-id", failed.invocation_id))
    headers += [*_expires(failed.expires_at), ("x-restate-error-source", FailureSource.INVOCATION.value), _JSON]
    # 1xx would be an interim response: the client would wait for another.
    return Answer(failed.code if 200 <= failed.code <= 999 else 500, tuple(headers), json_bytes(body))


def _expires(time_ms: int | None) -> list[tuple[str, str]]:
    if time_ms is None:
        return []
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    fraction = f".{time_ms % 1000:03}" if time_ms % 1000 else ""
    return [("idempotency-expires", f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}+00:00")]
