"""Invocations named by a JSON body, for attach, output and lookup.

| `target` | fields |
|---|---|
| `invocation` | `invocationId` |
| `workflow` | `workflowName`, `workflowKey` |
| `idempotentInvocation` | `service`, `key` for objects and workflows, `handler`, `idempotencyKey` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from durably.engine.events import IdempotentSelector, InvocationSelector, Selector, WorkflowSelector
from durably.engine.ingress.refusals import RefusedError

__all__ = ["read_target"]


def read_target(body: bytes) -> Selector:
    """Read which invocation a body names.

    Raises:
        RefusedError: It names none.
    """
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(500, "cannot read body: it is no JSON") from error
    if not isinstance(parsed, dict):
        raise RefusedError(500, "cannot read body: it is no JSON object")
    fields = cast("dict[str, Any]", parsed)
    if fields.get("scope") is not None:
        raise RefusedError(400, "scopes are not supported")
    match fields.get("target"):
        case "invocation":
            return InvocationSelector(_text(fields, "invocationId"))
        case "workflow":
            return WorkflowSelector(_text(fields, "workflowName"), _text(fields, "workflowKey"))
        case "idempotentInvocation":
            key = "" if fields.get("key") is None else _text(fields, "key")
            return IdempotentSelector(
                _text(fields, "service"), key, _text(fields, "handler"), _text(fields, "idempotencyKey")
            )
        case None:
            raise RefusedError(500, "cannot read body: missing field `target`")
        case _:
            raise RefusedError(
                500, "cannot read body: `target` must be `workflow`, `idempotentInvocation` or `invocation`"
            )


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise RefusedError(500, f"cannot read body: field `{name}` must be a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair, written as an escape
        raise RefusedError(500, f"cannot read body: field `{name}` is no text") from error
    return value
