"""Requests to the ingress, and what its answers mean. The one core of the async and the blocking client.

Owns paths, headers and bodies; sends nothing. Every name from outside (service, handler, key, scope, id) becomes
exactly one path segment, so that no key can reach another path.

Source: Restate ingress HTTP API.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import quote

from durably.authoring.handlers import Handler, handler_of
from durably.client.interfaces import (
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationRef,
    RestateClientSendHandle,
    WorkflowRun,
)
from durably.errors import ClientError, UsageError
from durably.serde import BytesSerde

__all__ = [
    "OUTPUT_NOT_READY",
    "CallTarget",
    "IngressRequest",
    "answer_of",
    "awakeable_request",
    "call_request",
    "handler_target",
    "invocation_request",
    "raise_for_status",
    "raw_content_type",
    "result_request",
    "send_handle",
    "typed_body",
    "workflow_request",
]

OUTPUT_NOT_READY: Final = 470
"""Status of an output that was asked for while the invocation is still running."""

_FIRST_ERROR_STATUS: Final = 400
_ACCEPTED: Final = 200
_INVOCATION_ID: Final = "x-restate-id"


@dataclass(frozen=True, slots=True)
class IngressRequest:
    """A request without the base URL.

    Attributes:
        method: `GET` or `POST`.
        path: Percent-encoded, begins with `/`, with the query if there is one.
        headers: Beside the client's own.
        content: The body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTarget:
    """Which handler a request is for, and how.

    Attributes:
        service: Name of the service, object or workflow.
        handler: Name of the handler.
        key: The object's or workflow's key; None for a plain service.
        idempotency_key: Requests with the same key become one invocation.
        scope: Scope of the invocation.
        limit_key: Limit key within the scope.
    """

    service: str
    handler: str
    key: str | None = None
    idempotency_key: str | None = None
    scope: str | None = None
    limit_key: str | None = None


def handler_target(
    function: Any,
    key: str | None,
    idempotency_key: str | None = None,
    scope: str | None = None,
    limit_key: str | None = None,
) -> tuple[Handler, CallTarget]:
    """Find the handler of a decorated function, and the target that it is with `key`.

    Raises:
        UsageError: It is not registered, or the key does not fit its service.
    """
    handler = handler_of(function)
    if handler.is_keyed and key is None:
        raise UsageError(f"{handler.service_name} is keyed, and no key was given.", hint="Pass key=….")
    if not handler.is_keyed and key is not None:
        raise UsageError(f"{handler.service_name} is a plain service, but the key {key!r} was given.")
    target = CallTarget(
        service=handler.service_name,
        handler=handler.name,
        key=key,
        idempotency_key=idempotency_key,
        scope=scope,
        limit_key=limit_key,
    )
    return handler, target


def typed_body(handler: Handler, arg: Any) -> tuple[bytes, str | None]:
    """Write the input of `handler`: the body, and its content type unless the body is empty.

    The ingress takes an empty body only without a content type.

    Raises:
        SerdeError: `arg` cannot be written as the handler's input.
        UsageError: The handler takes no input, and `arg` is one.
    """
    if handler.input.is_void:
        if arg is not None:
            raise UsageError(f"{handler.service_name}/{handler.name} takes no input; pass None.")
        return b"", None
    body = handler.input_serde.serialize(arg)
    if not body:
        return b"", None
    content_type = handler.input.content_type
    if "*" in content_type or "," in content_type:
        raw = isinstance(handler.input_serde, BytesSerde)
        content_type = "application/octet-stream" if raw else "application/json"
    return body, content_type


def raw_content_type(body: bytes) -> str | None:
    """Give the content type of a body of which only the bytes are known; none without a body, which may be refused."""
    return "application/json" if body else None


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
        UsageError: A name cannot be a path segment, the delay is negative or not for a send, or a limit key has
            no scope.
    """
    if target.limit_key is not None and target.scope is None:
        raise UsageError("A limit key needs a scope.", hint="Use client.scope(…), or pass scope=….")
    return IngressRequest(
        "POST", _call_path(target, send=send) + _query(delay, send=send), _headers(target, content_type, headers), body
    )


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
        if not target.idempotency_key:
            raise UsageError("The idempotency key is empty.", hint="Pass None to do without.")
        headers["idempotency-key"] = target.idempotency_key
    if target.limit_key is not None:
        headers["x-restate-limit-key"] = target.limit_key
    return headers


def _segment(what: str, value: Any) -> str:
    """Encode one path segment, so that it can be neither empty, nor `..`, nor more than one."""
    if not isinstance(value, str):
        raise UsageError(f"The {what} must be text, not {type(value).__name__}.")
    if not value:
        raise UsageError(f"The {what} is empty, and an empty {what} cannot stand in a path.")
    try:
        encoded = quote(value, safe="")
    except UnicodeEncodeError as error:
        raise UsageError(f"The {what} {value!r} is not valid Unicode.") from error
    return encoded.replace(".", "%2E") if value in {".", ".."} else encoded


def invocation_request(invocation_id: str, verb: str) -> IngressRequest:
    """Build a request for the output of an invocation; `attach` waits for it, `output` does not.

    Raises:
        UsageError: The id is empty.
    """
    return IngressRequest("GET", f"/restate/invocation/{_segment('invocation id', invocation_id)}/{verb}")


def workflow_request(workflow: str, key: str, verb: str) -> IngressRequest:
    """Build a request for the output of a workflow's run; `attach` waits for it, `output` does not.

    Raises:
        UsageError: The key is empty.
    """
    return IngressRequest("GET", f"/restate/workflow/{_segment('workflow', workflow)}/{_segment('key', key)}/{verb}")


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
            named = {"service": service, "handler": handler, "idempotencyKey": idempotency_key}
            target = {"target": "idempotentInvocation", **named, **({} if key is None else {"key": key})}
            return IngressRequest(
                "POST", f"/restate/{verb}", {"content-type": "application/json"}, json.dumps(target).encode()
            )
        case _:
            return invocation_request(invocation, verb)


def awakeable_request(awakeable_id: str, verb: str, body: bytes, content_type: str) -> IngressRequest:
    """Build a request that completes an awakeable; `resolve` with a value, `reject` with a text.

    Raises:
        UsageError: The id is empty.
    """
    path = f"/restate/awakeables/{_segment('awakeable id', awakeable_id)}/{verb}"
    return IngressRequest("POST", path, {"content-type": content_type}, body)


def raise_for_status(status: int, reason: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Raise what an error status means; do nothing for others. `headers` are found by names in lower case.

    Raises:
        HttpError: The status is an error.
    """
    if status < _FIRST_ERROR_STATUS:
        return
    text = body.decode(errors="replace")
    answer = _json_object(body)
    message, metadata = answer.get("message"), answer.get("metadata")
    told = headers or {}
    source = told.get("x-restate-error-source") or answer.get("source")
    raise HttpError(
        status,
        message if isinstance(message, str) and message else reason or "no reason given",
        text,
        cast("dict[str, str]", metadata) if isinstance(metadata, dict) else None,
        invocation_id=told.get(_INVOCATION_ID),
        source=source.lower() if isinstance(source, str) else None,
    )


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
