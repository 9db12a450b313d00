"""Requests to the ingress, and what its answers mean. The one core of the async and the blocking client.

Owns paths, headers and bodies; sends nothing. Every name from outside (service, handler, key, scope, id) becomes
exactly one path segment, so that no key can reach another path. What a runtime would not take as it is meant is
refused here, with the same words for a runtime in the same process.

Source: Restate ingress HTTP API, and the admin API for cancel and kill.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast
from urllib.parse import quote

from durably.client.interfaces import (
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationRef,
    RestateClientSendHandle,
    WorkflowRun,
)
from durably.client.targets import CallTarget, check_headers, check_target, check_text, raw_content_type
from durably.errors import ClientError, UsageError

__all__ = [
    "OUTPUT_NOT_READY",
    "CallTarget",
    "IngressRequest",
    "answer_of",
    "awakeable_request",
    "call_request",
    "ending_request",
    "invocation_request",
    "is_not_ready",
    "raise_for_status",
    "raw_content_type",
    "result_request",
    "send_handle",
    "wire_headers",
    "workflow_request",
]

OUTPUT_NOT_READY: Final = 470
"""Status of an output that was asked for while the invocation is still running."""

_SUCCESSES: Final = range(200, 300)
_ACCEPTED: Final = 200
_INVOCATION_ID: Final = "x-restate-id"
_ERROR_SOURCE: Final = "x-restate-error-source"
_MOST_SECONDS: Final = 10**9


@dataclass(frozen=True, slots=True)
class IngressRequest:
    """A request without the base URL.

    Attributes:
        method: `GET` or `POST`.
        path: Percent-encoded, begins with `/`, with the query if there is one.
        headers: Beside the client's own.
        content: The body.
        is_safe: Whether it may be sent twice.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes = b""
    is_safe: bool = False


def call_request(
    target: CallTarget,
    body: bytes,
    content_type: str | None,
    headers: Mapping[str, str] | None = None,
    *,
    send: bool = False,
    delay: timedelta | None = None,
) -> IngressRequest:
    """Build the request of a call, or of a send that does not wait for the result.

    Raises:
        UsageError: A name, a key or a header cannot be sent, the delay is negative or not for a send, or a limit key
            has no scope.
    """
    check_target(target)
    check_headers(headers or {})
    path = _call_path(target, send=send) + _query(delay, send=send)
    safe = target.idempotency_key is not None
    return IngressRequest("POST", path, _headers(target, content_type, headers), body, is_safe=safe)


def _call_path(target: CallTarget, *, send: bool) -> str:
    segments = [_segment("service", target.service)]
    if target.key is not None:
        segments.append(_segment("key", target.key))
    segments.append(_segment("handler", target.handler))
    if target.scope is not None:
        verb = "send" if send else "call"
        return "/".join(["/restate/scope", _segment("scope", target.scope), verb, *segments])
    return "/" + "/".join([*segments, "send"] if send else segments)


def _query(delay: timedelta | None, *, send: bool) -> str:
    if delay is None:
        return ""
    if not send:
        raise UsageError("Only a send can be delayed.")
    if delay < timedelta(0):
        raise UsageError(f"The delay is negative: {delay}.")
    return f"?delay={delay // timedelta(milliseconds=1)}ms"


def _headers(target: CallTarget, content_type: str | None, given: Mapping[str, str] | None) -> dict[str, str]:
    headers = dict(given or {})
    present = {name.lower() for name in headers}
    if content_type is not None and "content-type" not in present:
        headers["content-type"] = content_type
    if target.idempotency_key is not None:
        headers["idempotency-key"] = target.idempotency_key
    if target.limit_key is not None:
        headers["x-restate-limit-key"] = target.limit_key
    return headers


def _segment(what: str, value: Any) -> str:
    """Encode one path segment, so that it can be neither empty, nor `..`, nor more than one."""
    check_text(what, value)
    encoded = quote(value, safe="")
    return encoded.replace(".", "%2E") if value in {".", ".."} else encoded


def invocation_request(invocation_id: str, verb: str) -> IngressRequest:
    """Build a request for the output of an invocation; `attach` waits for it, `output` does not.

    Raises:
        UsageError: The id is empty.
    """
    return IngressRequest("GET", f"/restate/invocation/{_segment('invocation id', invocation_id)}/{verb}", is_safe=True)


def workflow_request(workflow: str, key: str, verb: str) -> IngressRequest:
    """Build a request for the output of a workflow's run; `attach` waits for it, `output` does not.

    Raises:
        UsageError: The key is empty.
    """
    path = f"/restate/workflow/{_segment('workflow', workflow)}/{_segment('key', key)}/{verb}"
    return IngressRequest("GET", path, is_safe=True)


def result_request(invocation: InvocationRef, verb: str) -> IngressRequest:
    """Build a request for the output of whichever invocation; `attach` waits for it, `output` does not.

    Raises:
        UsageError: A name is empty.
    """
    match invocation:
        case WorkflowRun(workflow, key):
            return workflow_request(workflow, key, verb)
        case IdempotentRequest(service, handler, idempotency_key, key):
            # In a path the server would take an idempotency key with its percent-encoding.
            check_target(CallTarget(service=service, handler=handler, key=key, idempotency_key=idempotency_key))
            named = {"service": service, "handler": handler, "idempotencyKey": idempotency_key}
            target = {"target": "idempotentInvocation", **named, **({} if key is None else {"key": key})}
            content = json.dumps(target).encode()
            return IngressRequest(
                "POST", f"/restate/{verb}", {"content-type": "application/json"}, content, is_safe=True
            )
        case _:
            return invocation_request(invocation, verb)


def awakeable_request(awakeable_id: str, content: bytes | str) -> IngressRequest:
    """Build a request that completes an awakeable: with a value, which is bytes, or with the text of a failure.

    Raises:
        UsageError: The id is empty.
    """
    is_value = isinstance(content, bytes)
    verb, content_type = ("resolve", "application/json") if is_value else ("reject", "text/plain")
    path = f"/restate/awakeables/{_segment('awakeable id', awakeable_id)}/{verb}"
    body = content if isinstance(content, bytes) else content.encode()
    return IngressRequest("POST", path, {"content-type": content_type}, body)


def wire_headers(*headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Give headers as they travel; of a name that comes twice, in whatever case, the last counts.

    Raises:
        UsageError: One cannot travel.
    """
    merged: dict[str, str] = {}
    for each in headers:
        check_headers(each)
        merged.update((name.lower(), value) for name, value in each.items())
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in merged.items()]


def is_not_ready(error: HttpError) -> bool:
    """Tell whether an error only says that there is no result yet."""
    return error.status_code == OUTPUT_NOT_READY and error.source != "invocation"


def ending_request(invocation_id: str, verb: str) -> IngressRequest:
    """Build the request to the admin API that ends an invocation: `cancel` or `kill`.

    Raises:
        UsageError: The id is empty.
    """
    return IngressRequest("PATCH", f"/invocations/{_segment('invocation id', invocation_id)}/{verb}")


def raise_for_status(
    status: int, reason: str, body: bytes, headers: Mapping[str, str] | None = None, *, source: str | None = None
) -> None:
    """Raise what a status means that is no success; a redirection is none, nothing follows it.

    Args:
        status: Of the answer.
        reason: The status in words.
        body: Of the answer.
        headers: Of the answer, found by names in lower case.
        source: Who answers, if the answer does not say it.

    A handler may fail with any number; the server's header tells such an answer from a result.

    Raises:
        HttpError: It is an error.
    """
    told = headers or {}
    if status in _SUCCESSES and _ERROR_SOURCE not in told:
        return
    text = body.decode(errors="replace")
    answer = _json_object(body)
    message, metadata = answer.get("message"), answer.get("metadata")
    named = told.get(_ERROR_SOURCE) or answer.get("source") or source
    raise HttpError(
        status,
        message if isinstance(message, str) and message else reason or "no reason given",
        text,
        cast("dict[str, str]", metadata) if isinstance(metadata, dict) else None,
        invocation_id=told.get(_INVOCATION_ID),
        source=named.lower() if isinstance(named, str) else None,
        retry_after=_retry_after(told.get("retry-after")),
    )


def _retry_after(text: str | None) -> timedelta | None:
    """Read seconds or a date; None for what is neither."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=min(int(text[:12]), _MOST_SECONDS))
    try:
        at = parsedate_to_datetime(text)
    except ValueError:  # no date; the runtime said nothing that can be kept to
        return None
    return max(timedelta(0), (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC))


def answer_of(body: bytes, headers: Mapping[str, str]) -> InvocationAnswer:
    """Give a result with the id that came along; `headers` are found by names in lower case."""
    return InvocationAnswer(headers.get(_INVOCATION_ID), body)


def send_handle(body: bytes) -> RestateClientSendHandle:
    """Read the answer to a send.

    Raises:
        ClientError: It names no invocation.
    """
    answer = _json_object(body)
    invocation_id = answer.get("invocationId")
    if not isinstance(invocation_id, str):
        raise ClientError("The answer to the send names no invocation.", hint="Is this the URL of an ingress?")
    return RestateClientSendHandle(invocation_id, _ACCEPTED, is_new=answer.get("status") != "PreviouslyAccepted")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:  # a proxy's page, for example; the caller keeps the text
        return {}
    return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
