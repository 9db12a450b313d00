"""Reads the manifest that a deployment answered with.

Owns every check of it: a deployment that passes here can be stored and run. Each failure says which field of which
service is wrong, and what to do. Fields that this version does not know are refused, as the schema says.

| what is wrong | code |
|---|---|
| no protocol version in common | META0012 |
| content type, JSON, a field, a missing `protocolMode` | META0013 |
| a reserved name | META0005 |

Source: service protocol, "Discovery manifest", and the manifest schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeGuard, TypeVar, cast

from durably.engine.transport.contract import DiscoveryError, DiscoveryResult
from durably.protocol.manifest import (
    EndpointManifest,
    HandlerManifest,
    HandlerType,
    InputDescriptor,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyManifest,
    ServiceManifest,
    ServiceType,
)
from durably.protocol.versions import MAX_VERSION, MIN_VERSION

__all__ = ["read_manifest"]

ValueT = TypeVar("ValueT")
Object = Mapping[str, Any]

_CONTENT_TYPES: Final = {f"application/vnd.restate.endpointmanifest.v{version}+json" for version in range(1, 5)}
_SERVICE_NAME: Final = re.compile(r"(?:[a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9._-]*")
_HANDLER_NAME: Final = re.compile(r"(?:[a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]*")
_CONTENT_TYPE: Final = re.compile(r"(?:\*/\*|[^\s/*;,]+/(?:\*|[^\s/*;,]+))(?:\s*;.*)?")
_MAX_MS: Final = 2**63 - 1
_MAX_VERSION_NUMBER: Final = 2**31 - 1

_ENDPOINT_FIELDS: Final = frozenset(
    ("protocolMode", "minProtocolVersion", "maxProtocolVersion", "services", "lambdaCompression")
)
_OPTION_FIELDS: Final = frozenset(
    (
        "documentation",
        "metadata",
        "inactivityTimeout",
        "abortTimeout",
        "journalRetention",
        "idempotencyRetention",
        "enableLazyState",
        "ingressPrivate",
        "retryPolicyInitialInterval",
        "retryPolicyMaxInterval",
        "retryPolicyMaxAttempts",
        "retryPolicyExponentiationFactor",
        "retryPolicyOnMaxAttempts",
        "eagerStateKeysWhitelist",
    )
)
_SERVICE_FIELDS: Final = _OPTION_FIELDS | {"name", "ty", "handlers"}
_HANDLER_FIELDS: Final = _OPTION_FIELDS | {"name", "ty", "input", "output", "workflowCompletionRetention"}
_HANDLER_TYPES: Final[Mapping[ServiceType, tuple[HandlerType | None, ...]]] = {
    ServiceType.SERVICE: (None, HandlerType.SHARED),
    ServiceType.VIRTUAL_OBJECT: (None, HandlerType.SHARED, HandlerType.EXCLUSIVE),
    ServiceType.WORKFLOW: (None, HandlerType.SHARED, HandlerType.WORKFLOW),
}


def read_manifest(result: DiscoveryResult) -> EndpointManifest:
    """Read and check a manifest.

    Raises:
        DiscoveryError: It is no good; the deployment cannot be registered.
    """
    if result.content_type not in _CONTENT_TYPES:
        raise _wrong(
            f"The deployment answered discovery with content-type {result.content_type[:100]!r}.",
            hint="It must be exactly application/vnd.restate.endpointmanifest.vN+json, N from 1 to 4. Is this the"
            " address of an endpoint, and does nothing in between change the header?",
        )
    try:
        content: Any = json.loads(result.body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _wrong("The deployment's manifest is not JSON.") from error
    manifest = _endpoint(_object(content, "The manifest"))
    if manifest.min_protocol_version > MAX_VERSION or manifest.max_protocol_version < MIN_VERSION:
        is_older = manifest.max_protocol_version < MIN_VERSION
        raise DiscoveryError(
            f"The deployment speaks the service protocol from version {manifest.min_protocol_version} to"
            f" {manifest.max_protocol_version}; this engine speaks {MIN_VERSION} to {MAX_VERSION}.",
            code="META0012",
            hint="Upgrade the SDK of the deployment." if is_older else "Upgrade durably in the engine's process.",
        )
    return manifest


def _refuse_constant(text: str) -> None:
    raise ValueError(text)  # NaN and the infinities are not JSON


def _endpoint(content: Object) -> EndpointManifest:
    _check_fields(content, _ENDPOINT_FIELDS, "The manifest")
    if content.get("protocolMode") is None:
        raise _wrong("The manifest has no protocolMode.", hint="It is BIDI_STREAM or REQUEST_RESPONSE.")
    lowest = _integer(content, "minProtocolVersion", "The manifest", 1, _MAX_VERSION_NUMBER)
    highest = _integer(content, "maxProtocolVersion", "The manifest", 1, _MAX_VERSION_NUMBER)
    if lowest is None or highest is None or lowest > highest:
        raise _wrong("The manifest needs minProtocolVersion and a maxProtocolVersion that is not lower.")
    services = tuple(_service(item) for item in _array(content, "services", "The manifest"))
    names = [service.name for service in services]
    if len(set(names)) != len(names):
        raise _wrong("The manifest has two services of one name.")
    return EndpointManifest(
        protocol_mode=_choice(content, "protocolMode", "The manifest", ProtocolMode) or ProtocolMode.REQUEST_RESPONSE,
        min_protocol_version=lowest,
        max_protocol_version=highest,
        services=services,
        lambda_compression=_text(content, "lambdaCompression", "The manifest"),
    )


def _service(content: Object) -> ServiceManifest:
    name = _text(content, "name", "A service")
    if name is None or not _SERVICE_NAME.fullmatch(name):
        raise _wrong(f"A service has the name {_shown(name)}: letters, digits, '.', '_' and '-', a letter first.")
    if name.lower().startswith(("restate", "openapi")):
        raise DiscoveryError(
            f"The service name {name!r} is reserved.",
            code="META0005",
            hint="Names must not start so: restate, openapi.",
        )
    where = f"Service {name!r}"
    _check_fields(content, _SERVICE_FIELDS, where)
    kind = _choice(content, "ty", where, ServiceType)
    if kind is None:
        raise _wrong(f"{where} has no ty.")
    is_private = _flag(content, "ingressPrivate", where) or False
    handlers = tuple(_handler(item, where, kind, is_private) for item in _array(content, "handlers", where))
    names = [handler.name for handler in handlers]
    if len(set(names)) != len(names):
        raise _wrong(f"{where} has two handlers of one name.")
    return ServiceManifest(name=name, type=kind, handlers=handlers, **_options(content, where))


def _handler(content: Object, service: str, kind: ServiceType, is_private: bool) -> HandlerManifest:
    name = _text(content, "name", f"A handler of {service}")
    if name is None or not _HANDLER_NAME.fullmatch(name):
        raise _wrong(f"{service} has a handler {_shown(name)}: letters, digits and '_', a letter first.")
    where = f"{service}, handler {name!r}"
    _check_fields(content, _HANDLER_FIELDS, where)
    handler_type = _choice(content, "ty", where, HandlerType)
    if handler_type not in _HANDLER_TYPES[kind]:
        raise _wrong(f"{where}: a {kind.value} cannot have a handler of type {_shown(content['ty'])}.")
    is_run = handler_type is HandlerType.WORKFLOW
    if is_run and content.get("idempotencyRetention") is not None:
        raise _wrong(f"{where} has an idempotencyRetention.", hint="A workflow's run has workflowCompletionRetention.")
    if not is_run and content.get("workflowCompletionRetention") is not None:
        raise _wrong(f"{where} has a workflowCompletionRetention.", hint="Only a workflow's run has it.")
    if is_private and _flag(content, "ingressPrivate", where) is False:
        raise _wrong(f"{where} is public in a private service.", hint="Make the service public, its others private.")
    return HandlerManifest(
        name=name,
        type=handler_type,
        input=_input(content, where),
        output=_output(content, where),
        workflow_completion_retention=_duration(content, "workflowCompletionRetention", where),
        **_options(content, where),
    )


def _input(content: Object, where: str) -> InputDescriptor | None:
    if content.get("input") is None:
        return None
    where = f"{where}, input"
    described = _object(content["input"], where)
    _check_fields(described, frozenset(("required", "contentType", "jsonSchema")), where)
    content_type = _text(described, "contentType", where)
    if content_type is not None and not _CONTENT_TYPE.fullmatch(content_type):
        raise _wrong(f"{where}: {_shown(content_type)} is no contentType.", hint="Give */*, type/* or type/subtype.")
    return InputDescriptor(
        required=_flag(described, "required", where),
        content_type=content_type,
        json_schema=described.get("jsonSchema"),
    )


def _output(content: Object, where: str) -> OutputDescriptor | None:
    if content.get("output") is None:
        return None
    where = f"{where}, output"
    described = _object(content["output"], where)
    _check_fields(described, frozenset(("contentType", "setContentTypeIfEmpty", "jsonSchema")), where)
    content_type = _text(described, "contentType", where)
    if content_type is not None and not (content_type.isprintable() and content_type.isascii()):
        raise _wrong(f"{where}: {_shown(content_type)} is no contentType.")
    return OutputDescriptor(
        content_type=content_type,
        set_content_type_if_empty=_flag(described, "setContentTypeIfEmpty", where) or False,
        json_schema=described.get("jsonSchema"),
    )


def _options(content: Object, where: str) -> dict[str, Any]:
    metadata = None
    if content.get("metadata") is not None:
        metadata = _object(content["metadata"], f"{where}, metadata")
        if not all(isinstance(value, str) for value in metadata.values()):
            raise _wrong(f"{where}: metadata is a map of strings.")
    keys = None
    if content.get("eagerStateKeysWhitelist") is not None:
        items = _items(content, "eagerStateKeysWhitelist", where)
        keys = tuple(_checked(item, str, f"{where}, eagerStateKeysWhitelist") for item in items)
    return {
        "documentation": _text(content, "documentation", where),
        "metadata": metadata,
        "inactivity_timeout": _duration(content, "inactivityTimeout", where),
        "abort_timeout": _duration(content, "abortTimeout", where),
        "journal_retention": _duration(content, "journalRetention", where),
        "idempotency_retention": _duration(content, "idempotencyRetention", where),
        "enable_lazy_state": _flag(content, "enableLazyState", where),
        "eager_state_keys": keys,
        "ingress_private": _flag(content, "ingressPrivate", where),
        "retry_policy": _retry_policy(content, where),
    }


def _retry_policy(content: Object, where: str) -> RetryPolicyManifest | None:
    factor: Any = content.get("retryPolicyExponentiationFactor")
    if factor is not None and (isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1e9):
        raise _wrong(f"{where}: retryPolicyExponentiationFactor is a number over 0.")
    attempts = _integer(content, "retryPolicyMaxAttempts", where, 0, _MAX_MS)
    policy = RetryPolicyManifest(
        initial_interval=_duration(content, "retryPolicyInitialInterval", where),
        max_interval=_duration(content, "retryPolicyMaxInterval", where),
        max_attempts=None if attempts is None else max(1, attempts),
        exponentiation_factor=None if factor is None else float(factor),
        on_max_attempts=_choice(content, "retryPolicyOnMaxAttempts", where, OnMaxAttempts),
    )
    return None if policy == RetryPolicyManifest() else policy


def _wrong(text: str, *, hint: str | None = None) -> DiscoveryError:
    return DiscoveryError(text, code="META0013", hint=hint or "Upgrade the deployment's SDK, or report it there.")


def _shown(value: object) -> str:
    return repr(value)[:100]


def _check_fields(content: Object, known: frozenset[str], where: str) -> None:
    unknown = sorted(content.keys() - known)
    if unknown:
        raise _wrong(f"{where} has the unknown field {_shown(unknown[0])}.")


def _object(value: Any, where: str) -> Object:
    return cast("Object", _checked(value, dict, where))


def _items(content: Object, name: str, where: str) -> list[Any]:
    value: object = content.get(name)
    if not _is_list(value):
        raise _wrong(f"{where}, {name} is {_shown(value)}, which is no array.")
    return value


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _array(content: Object, name: str, where: str) -> list[Object]:
    return [_object(item, f"{where}, {name}") for item in _items(content, name, where)]


def _checked(value: Any, kind: type[ValueT], where: str) -> ValueT:
    if not isinstance(value, kind):
        raise _wrong(f"{where} is {_shown(value)}, which is no {_JSON_NAMES[kind]}.")
    return value


_JSON_NAMES: Final[Mapping[type[Any], str]] = {dict: "object", str: "string", bool: "boolean"}


def _optional(content: Object, name: str, where: str, kind: type[ValueT]) -> ValueT | None:
    value = content.get(name)
    return None if value is None else _checked(value, kind, f"{where}, {name}")


def _text(content: Object, name: str, where: str) -> str | None:
    return _optional(content, name, where, str)


def _flag(content: Object, name: str, where: str) -> bool | None:
    return _optional(content, name, where, bool)


def _integer(content: Object, name: str, where: str, lowest: int, highest: int) -> int | None:
    value: Any = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise _wrong(f"{where}, {name} is {_shown(value)}, which is no integer from {lowest} to {highest}.")
    return value


def _duration(content: Object, name: str, where: str) -> timedelta | None:
    value = _integer(content, name, where, 0, _MAX_MS)
    if value is None:
        return None
    # A longer one means for ever; timedelta ends at 2.7 million years.
    return timedelta(milliseconds=min(value, 10**15))


def _choice(content: Object, name: str, where: str, kind: Callable[[str], ValueT]) -> ValueT | None:
    value = _text(content, name, where)
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError as error:
        raise _wrong(f"{where}, {name} is {_shown(value)}.") from error
