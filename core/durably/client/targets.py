"""Which handler a client means, with what, and what can be said to no runtime.

Owns the target of a call, its input as bytes, and the checks of names, keys and headers: they are the same for a
runtime behind HTTP and one in the same process, so that code which works with one works with the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from durably.authoring.handlers import Handler, handler_of
from durably.client.foreign import is_foreign
from durably.client.interfaces import WorkflowRun
from durably.errors import UsageError
from durably.serde import BytesSerde, Serde

__all__ = [
    "Call",
    "CallTarget",
    "check_headers",
    "check_target",
    "check_text",
    "handler_target",
    "raw_content_type",
    "typed_body",
    "typed_call",
    "workflow_target",
]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD: Final = re.compile(r"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")
_PRINTABLE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_SHOWN_CHARS: Final = 60


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


@dataclass(frozen=True, slots=True)
class Call:
    """A call or a send, ready to go.

    Attributes:
        target: Which handler, and how.
        body: Its input.
        content_type: Of the body; None without one. A header of that name wins.
        headers: Handed to the handler.
    """

    target: CallTarget
    body: bytes
    content_type: str | None = None
    headers: Mapping[str, str] | None = None


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


def typed_call(
    tpe: Any,
    arg: Any,
    key: str | None,
    idempotency_key: str | None,
    headers: Mapping[str, str] | None,
    scope: str | None,
    limit_key: str | None,
) -> tuple[Call, Serde[Any] | None]:
    """Make a call of a decorated function, or of a foreign handler; and give what reads its result, None for none.

    Raises:
        UsageError: The function is no handler, the key does not fit its service, or it takes no input.
        SerdeError: `arg` cannot be written as the handler's input.
    """
    if not is_foreign(tpe):
        handler, target = handler_target(tpe, key, idempotency_key, scope, limit_key)
        return Call(target, *typed_body(handler, arg), headers), handler.output_serde
    target = CallTarget(
        service=tpe.service,
        handler=tpe.handler,
        key=key,
        idempotency_key=idempotency_key,
        scope=scope,
        limit_key=limit_key,
    )
    if tpe.input_serde is None:
        if arg is not None:
            raise UsageError(f"{tpe.service}/{tpe.handler} takes no input; pass None.")
        return Call(target, b"", None, headers), tpe.output_serde
    body = tpe.input_serde.serialize(arg)
    raw = isinstance(tpe.input_serde, BytesSerde)
    content_type = "application/octet-stream" if raw else "application/json"
    return Call(target, body, content_type if body else None, headers), tpe.output_serde


def workflow_target(tpe: Any, key: str) -> tuple[WorkflowRun, Serde[Any] | None]:
    """Name the run of a workflow by one of its handlers; and give what reads the result of `tpe`, None for none.

    Raises:
        UsageError: `tpe` is no handler of a keyed service.
    """
    if is_foreign(tpe):
        return WorkflowRun(tpe.service, key), tpe.output_serde
    handler, target = handler_target(tpe, key)
    return WorkflowRun(target.service, key), handler.output_serde


def raw_content_type(body: bytes) -> str | None:
    """Give the content type of a body of which only the bytes are known; none without a body, which may be refused."""
    return "application/json" if body else None


def check_target(target: CallTarget) -> None:
    """Refuse names and keys that no runtime takes as they are.

    Raises:
        UsageError: One is empty, no text, not valid Unicode, or cannot stand in a header where it has to.
    """
    check_text("service", target.service)
    check_text("handler", target.handler)
    if target.key is not None:
        check_text("key", target.key)
    if target.scope is not None:
        check_text("scope", target.scope)
    elif target.limit_key is not None:
        raise UsageError("A limit key needs a scope.", hint="Use client.scope(…), or pass scope=….")
    if target.idempotency_key is not None:
        _check_printable("idempotency key", target.idempotency_key)
    if target.limit_key is not None:
        _check_printable("limit key", target.limit_key)


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that cannot travel.

    Raises:
        UsageError: A name is none, or a value is no text, or has line breaks, other control characters, space at an
            end, or characters beyond Latin-1.
    """
    for name, value in headers.items():
        if _TOKEN.fullmatch(name) is None:
            raise UsageError(f"{_shown(name)} is no name of a header.")
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(f"The header {name} must be text, not {type(value).__name__}.")
        if _FIELD.fullmatch(value) is None:
            raise UsageError(
                f"The header {name} cannot be {_shown(value)}: only text of one line without space at its ends."
            )


def check_text(what: str, value: Any) -> None:
    """Refuse what is no name and no key.

    Raises:
        UsageError: It is no text, empty, or not valid Unicode.
    """
    if not isinstance(value, str):
        raise UsageError(f"The {what} must be text, not {type(value).__name__}.")
    if not value:
        raise UsageError(f"The {what} is empty, and an empty {what} cannot stand in a path.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The {what} {_shown(value)} is not valid Unicode.") from error


def _check_printable(what: str, value: Any) -> None:
    """Refuse what a header would change or cut: it has ASCII only, and no space at its ends."""
    if not isinstance(value, str):
        raise UsageError(f"The {what} must be text, not {type(value).__name__}.")
    if not value:
        raise UsageError(f"The {what} is empty.", hint="Pass None to do without.")
    if _PRINTABLE.fullmatch(value) is None:
        raise UsageError(
            f"The {what} {_shown(value)} cannot stand in a header.",
            hint="It takes printable ASCII without spaces at its ends: give urllib.parse.quote(text), or a hash of it.",
        )


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
