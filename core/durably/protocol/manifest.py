"""The endpoint manifest: what an endpoint tells the runtime at registration.

Owns the manifest's shape, its versions and its JSON. Values come in as Python types, with durations
as `timedelta`, and leave as camelCase JSON with durations in milliseconds; what is None is left out.

    v2  names, kinds, payload descriptions, documentation, metadata, protocol mode and versions
    v3  timeouts, retentions, lazy state, privacy
    v4  retry policies, compression on Lambda
    v5  the keys of state to send along eagerly

An option that the negotiated version does not know is an error, never dropped: the runtime would
run the handler without it. Only the compression is dropped, because doing without it is correct.

Source: the endpoint manifest schema; the v5 field is written as restate-sdk 1.3 writes it.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from durably.errors import ConfigurationError, UnsupportedVersionError

__all__ = [
    "EndpointManifest",
    "HandlerManifest",
    "HandlerType",
    "InputDescriptor",
    "ManifestVersion",
    "OnMaxAttempts",
    "OutputDescriptor",
    "ProtocolMode",
    "RetryPolicyManifest",
    "ServiceManifest",
    "ServiceType",
    "manifest_content_type",
    "negotiate_manifest",
    "render_manifest",
]


class ManifestVersion(enum.IntEnum):
    """A version of the manifest's JSON."""

    V2 = 2
    V3 = 3
    V4 = 4
    V5 = 5


class ProtocolMode(enum.Enum):
    """Whether request and response of an attempt overlap in time."""

    BIDI_STREAM = "BIDI_STREAM"
    REQUEST_RESPONSE = "REQUEST_RESPONSE"


class ServiceType(enum.Enum):
    """The three kinds of service."""

    SERVICE = "SERVICE"
    VIRTUAL_OBJECT = "VIRTUAL_OBJECT"
    WORKFLOW = "WORKFLOW"


class HandlerType(enum.Enum):
    """How a keyed service's handler may overlap with others; plain services have none."""

    WORKFLOW = "WORKFLOW"
    EXCLUSIVE = "EXCLUSIVE"
    SHARED = "SHARED"


class OnMaxAttempts(enum.Enum):
    """What becomes of an invocation whose attempts are used up."""

    PAUSE = "PAUSE"
    KILL = "KILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDescriptor:
    """What the ingress checks of a request's body.

    All None, written as `{}`, admits only an empty body without a content-type.

    Attributes:
        required: Whether the body must be there.
        content_type: `*/*`, `type/*` or `type/subtype`.
        json_schema: Shown to callers; bodies are not validated against it.
    """

    required: bool | None = None
    content_type: str | None = None
    json_schema: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDescriptor:
    """How the ingress labels a response's body.

    Attributes:
        content_type: None sets none.
        set_content_type_if_empty: Whether an empty body is labelled too.
        json_schema: Shown to callers.
    """

    content_type: str | None = None
    set_content_type_if_empty: bool = False
    json_schema: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicyManifest:
    """How the runtime retries failed attempts; None leaves a value to the runtime. Since v4.

    Attributes:
        initial_interval: Pause before the second attempt.
        max_interval: Longest pause.
        max_attempts: Total, the first included.
        exponentiation_factor: Each pause is the last one times this.
        on_max_attempts: What happens then.
    """

    initial_interval: timedelta | None = None
    max_interval: timedelta | None = None
    max_attempts: int | None = None
    exponentiation_factor: float | None = None
    on_max_attempts: OnMaxAttempts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What a service and a handler can both say; a handler's value wins.

    Attributes:
        documentation: Shown to operators.
        metadata: Shown to operators.
        inactivity_timeout: Idle time before the runtime asks for suspension. Since v3.
        abort_timeout: Further time before it aborts the attempt. Since v3.
        journal_retention: How long the journal is kept after completion. Since v3.
        idempotency_retention: How long results of idempotent requests are kept. Since v3.
        enable_lazy_state: True sends no state along. Since v3.
        eager_state_keys: With lazy state: the keys to send along all the same. Since v5.
        ingress_private: True hides it from the ingress. Since v3.
        retry_policy: Since v4.
    """

    documentation: str | None = None
    metadata: Mapping[str, str] | None = None
    inactivity_timeout: timedelta | None = None
    abort_timeout: timedelta | None = None
    journal_retention: timedelta | None = None
    idempotency_retention: timedelta | None = None
    enable_lazy_state: bool | None = None
    eager_state_keys: tuple[str, ...] | None = None
    ingress_private: bool | None = None
    retry_policy: RetryPolicyManifest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerManifest(_Options):
    """One handler.

    Attributes:
        name: As in the path of an invocation.
        type: None for a plain service's handler, else always given: the runtime's default for a
            workflow is not the one that its schema documents.
        input: None accepts everything.
        output: None labels non-empty bodies as JSON.
        workflow_completion_retention: How long a finished run is kept; only for a workflow's run. Since v3.
    """

    name: str
    type: HandlerType | None = None
    input: InputDescriptor | None = None
    output: OutputDescriptor | None = None
    workflow_completion_retention: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceManifest(_Options):
    """One service and its handlers, in the order of registration."""

    name: str
    type: ServiceType
    handlers: tuple[HandlerManifest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointManifest:
    """All that an endpoint tells.

    Attributes:
        protocol_mode: How attempts are carried.
        min_protocol_version: Lowest service protocol version that the endpoint speaks.
        max_protocol_version: Highest.
        services: In the order of registration.
        lambda_compression: `"zstd"` where the endpoint runs on Lambda and can read it. Since v4.
    """

    protocol_mode: ProtocolMode
    min_protocol_version: int
    max_protocol_version: int
    services: tuple[ServiceManifest, ...]
    lambda_compression: str | None = None


_CONTENT_TYPES: Final = {
    version: f"application/vnd.restate.endpointmanifest.v{version.value}+json" for version in ManifestVersion
}
_VERSIONS: Final = {content_type: version for version, content_type in _CONTENT_TYPES.items()}
# What a request without `Accept` gets; `*/*` says the same in words.
_VERSION_IF_ANY: Final = ManifestVersion.V2

# (attribute, JSON name, first manifest version that knows it)
_OPTIONS: Final = (
    ("documentation", "documentation", ManifestVersion.V2),
    ("metadata", "metadata", ManifestVersion.V2),
    ("inactivity_timeout", "inactivityTimeout", ManifestVersion.V3),
    ("abort_timeout", "abortTimeout", ManifestVersion.V3),
    ("journal_retention", "journalRetention", ManifestVersion.V3),
    ("idempotency_retention", "idempotencyRetention", ManifestVersion.V3),
    ("enable_lazy_state", "enableLazyState", ManifestVersion.V3),
    ("eager_state_keys", "eagerStateKeysWhitelist", ManifestVersion.V5),
    ("ingress_private", "ingressPrivate", ManifestVersion.V3),
)
_HANDLER_OPTIONS: Final = (
    *_OPTIONS,
    ("workflow_completion_retention", "workflowCompletionRetention", ManifestVersion.V3),
)
_RETRY_OPTIONS: Final = (
    ("initial_interval", "retryPolicyInitialInterval", ManifestVersion.V4),
    ("max_interval", "retryPolicyMaxInterval", ManifestVersion.V4),
    ("max_attempts", "retryPolicyMaxAttempts", ManifestVersion.V4),
    ("exponentiation_factor", "retryPolicyExponentiationFactor", ManifestVersion.V4),
    ("on_max_attempts", "retryPolicyOnMaxAttempts", ManifestVersion.V4),
)


def manifest_content_type(version: ManifestVersion) -> str:
    """Give the content type of the response; the runtime compares it exactly."""
    return _CONTENT_TYPES[version]


def negotiate_manifest(accept: str | None) -> ManifestVersion:
    """Choose the highest manifest version that the runtime accepts.

    Args:
        accept: The request's `Accept`, or None when there is none. Without it, or with `*/*`, the
            answer is v2, which every runtime reads.

    Raises:
        UnsupportedVersionError: It names only versions that this package does not write.
    """
    if not accept:
        return _VERSION_IF_ANY
    offered = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    versions = [_VERSIONS[part] for part in offered if part in _VERSIONS]
    if versions:
        return max(versions)
    if not offered.isdisjoint(("*/*", "application/*")):
        return _VERSION_IF_ANY
    raise UnsupportedVersionError(
        f"The runtime reads none of the manifest versions 2 to {max(ManifestVersion)}; it accepts {accept[:200]!r}.",
        offered=accept,
        hint="Use a runtime and an SDK whose releases are closer to each other.",
    )


def render_manifest(manifest: EndpointManifest, version: ManifestVersion) -> bytes:
    """Write the manifest's JSON.

    Raises:
        ConfigurationError: An option is newer than `version`, a duration is negative, or a schema
            or metadata cannot be written as JSON.
    """
    rendered: dict[str, Any] = {
        "protocolMode": manifest.protocol_mode.value,
        "minProtocolVersion": manifest.min_protocol_version,
        "maxProtocolVersion": manifest.max_protocol_version,
        "services": [_service(service, version) for service in manifest.services],
    }
    if manifest.lambda_compression is not None and version >= ManifestVersion.V4:
        rendered["lambdaCompression"] = manifest.lambda_compression
    try:
        return json.dumps(rendered, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The endpoint's manifest cannot be written as JSON: {error}.",
            hint="Check the metadata and the JSON schemas of its services.",
        ) from error


def _service(service: ServiceManifest, version: ManifestVersion) -> dict[str, Any]:
    where = f"service {service.name!r}"
    return {
        "name": service.name,
        "ty": service.type.value,
        "handlers": [
            _handler(handler, f"handler {handler.name!r} of {where}", version) for handler in service.handlers
        ],
        **_render(service, _OPTIONS, where, version),
        **_render(service.retry_policy, _RETRY_OPTIONS, where, version, prefix="retry_policy."),
    }


def _handler(handler: HandlerManifest, where: str, version: ManifestVersion) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": handler.name}
    if handler.type is not None:
        rendered["ty"] = handler.type.value
    if handler.input is not None:
        rendered["input"] = _without_absent(
            required=handler.input.required,
            contentType=handler.input.content_type,
            jsonSchema=handler.input.json_schema,
        )
    if handler.output is not None:
        rendered["output"] = _without_absent(
            contentType=handler.output.content_type,
            setContentTypeIfEmpty=handler.output.set_content_type_if_empty,
            jsonSchema=handler.output.json_schema,
        )
    rendered.update(_render(handler, _HANDLER_OPTIONS, where, version))
    rendered.update(_render(handler.retry_policy, _RETRY_OPTIONS, where, version, prefix="retry_policy."))
    return rendered


def _render(
    source: _Options | RetryPolicyManifest | None,
    options: tuple[tuple[str, str, ManifestVersion], ...],
    where: str,
    version: ManifestVersion,
    prefix: str = "",
) -> dict[str, Any]:
    rendered: dict[str, Any] = {}
    for attribute, json_name, since in options:
        value: Any = None if source is None else getattr(source, attribute)
        if value is None:
            continue
        if version < since:
            raise ConfigurationError(
                f"Option `{prefix}{attribute}` of {where} needs manifest version {since}, but the runtime reads at"
                f" most version {version}.",
                hint="Upgrade the runtime, or set the option in the runtime instead.",
            )
        rendered[json_name] = _plain(value, f"Option `{prefix}{attribute}` of {where}")
    return rendered


def _plain(value: Any, what: str) -> Any:
    match value:
        case timedelta():
            milliseconds = value // timedelta(milliseconds=1)
            if milliseconds < 0:
                raise ConfigurationError(f"{what} is {value}; durations cannot be negative.")
            return milliseconds
        case OnMaxAttempts():
            return value.value
        case Mapping():
            return dict(cast("Mapping[str, str]", value))
        case _:
            return value


def _without_absent(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
