"""Deployments, services and handlers as the admin API shows them.

Owns the JSON, in the shape of the real server's: absent values are left out, durations are friendly (`1d`), what a
service does not say is shown with the engine's default. Values of a deployment's additional headers are secret: their
names are shown, with `***`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast
from urllib.parse import urlsplit

from durably.engine.core.settings import is_public, lazy_state_of, options_of, retry_policy_of, timeouts_of
from durably.engine.ingress.durations import format_duration, rfc_3339
from durably.engine.records import (
    Deployment,
    EngineOptions,
    HandlerRecord,
    OnMaxAttempts,
    OptionsRecord,
    ProtocolMode,
    RetryPolicyRecord,
    ServiceRecord,
    ServiceType,
    TargetKind,
)

__all__ = ["deployment_json", "handler_json", "input_description", "output_description", "public_uri", "service_json"]

Json = dict[str, Any]

_SERVICE_TYPES: Final = {
    ServiceType.SERVICE: "Service",
    ServiceType.VIRTUAL_OBJECT: "VirtualObject",
    ServiceType.WORKFLOW: "Workflow",
}
_HANDLER_TYPES: Final = {
    TargetKind.SERVICE: None,
    TargetKind.EXCLUSIVE: "Exclusive",
    TargetKind.SHARED: "Shared",
    TargetKind.WORKFLOW_SHARED: "Shared",
    TargetKind.WORKFLOW_RUN: "Workflow",
}
_ON_MAX_ATTEMPTS: Final = {OnMaxAttempts.PAUSE: "Pause", OnMaxAttempts.KILL: "Kill"}
_SECRET: Final = "***"  # noqa: S105 - stands in for one


def public_uri(uri: str) -> str:
    """Write an address as listings show it: an empty path is `/`."""
    return f"{uri}/" if uri.startswith("http") and not urlsplit(uri).path else uri


def deployment_json(deployment: Deployment, services: Iterable[object]) -> Json:
    """Describe a deployment; `services` go in as they are."""
    bidirectional = deployment.protocol_mode is ProtocolMode.BIDI_STREAM
    return _without_none(
        id=deployment.id,
        uri=public_uri(deployment.uri),
        protocol_type="BidiStream" if bidirectional else "RequestResponse",
        http_version=deployment.http_version,
        additional_headers={name: _SECRET for name, _ in deployment.additional_headers} or None,
        metadata=dict(deployment.metadata) or None,
        created_at=rfc_3339(deployment.created_at),
        min_protocol_version=deployment.min_protocol_version,
        max_protocol_version=deployment.max_protocol_version,
        sdk_version=deployment.sdk_version,
        services=list(services),
    )


def service_json(service: ServiceRecord, options: EngineOptions) -> Json:
    """Describe a service with its handlers."""
    own = service.options
    none = OptionsRecord()
    inactivity, abort = timeouts_of(none, own, options)
    policy = retry_policy_of(none, own, options)
    return _without_none(
        name=service.name,
        ty=_SERVICE_TYPES[service.type],
        handlers=[handler_json(service, handler) for handler in service.handlers.values()],
        documentation=own.documentation,
        metadata=_map(own),
        deployment_id=service.deployment_id,
        revision=service.revision,
        public=own.public is not False,
        idempotency_retention=_duration(own.idempotency_retention_ms, options.idempotency_retention_ms),
        workflow_completion_retention=_workflow_retention(service, options),
        journal_retention=_duration(own.journal_retention_ms, options.journal_retention_ms),
        inactivity_timeout=format_duration(inactivity),
        abort_timeout=format_duration(abort),
        enable_lazy_state=lazy_state_of(none, own, options),
        retry_policy={
            "initial_interval": format_duration(policy.initial_interval_ms),
            "exponentiation_factor": policy.factor,
            "max_attempts": policy.max_attempts,
            "max_interval": format_duration(policy.max_interval_ms),
            "on_max_attempts": _ON_MAX_ATTEMPTS[policy.on_max_attempts],
        },
    )


def handler_json(service: ServiceRecord, handler: HandlerRecord) -> Json:
    """Describe a handler: what it says itself, not what it takes over from its service."""
    own, _ = options_of(service, handler.name)
    return _without_none(
        name=handler.name,
        ty=_HANDLER_TYPES[handler.kind],
        documentation=own.documentation,
        metadata=_map(own),
        idempotency_retention=_duration(own.idempotency_retention_ms),
        workflow_completion_retention=_duration(own.workflow_completion_retention_ms),
        journal_retention=_duration(own.journal_retention_ms),
        inactivity_timeout=_duration(own.inactivity_timeout_ms),
        abort_timeout=_duration(own.abort_timeout_ms),
        enable_lazy_state=own.enable_lazy_state,
        public=is_public(service, handler),
        input_description=input_description(handler),
        output_description=output_description(handler),
        input_json_schema=None if handler.input is None else handler.input.json_schema,
        output_json_schema=None if handler.output is None else handler.output.json_schema,
        retry_policy=_retry_policy(own.retry_policy),
    )


def input_description(handler: HandlerRecord) -> str:
    """Say in few words what a handler takes."""
    given = handler.input
    if given is None:
        return "*/*"
    if given.content_type is None:
        return "<invalid rules>" if given.required else "none"
    return _described(given.content_type, given.json_schema)


def output_description(handler: HandlerRecord) -> str:
    """Say in few words what a handler gives."""
    given = handler.output
    if given is None:
        return "application/json"
    if given.content_type is None:
        return "none"
    return _described(given.content_type, given.json_schema)


def _described(content_type: str, schema: object) -> str:
    if isinstance(schema, dict):
        fields = cast("dict[str, object]", schema)
        if isinstance(title := fields.get("title"), str):
            return f"JSON '{title}'"
        if isinstance(kind := fields.get("type"), str):
            return f"JSON {kind}"
    return content_type


def _workflow_retention(service: ServiceRecord, options: EngineOptions) -> str | None:
    if service.type is not ServiceType.WORKFLOW:
        return None
    runs = (handler for handler in service.handlers.values() if handler.kind is TargetKind.WORKFLOW_RUN)
    own = [run.options.workflow_completion_retention_ms for run in runs]
    return _duration(*own, service.options.workflow_completion_retention_ms, options.workflow_retention_ms)


def _retry_policy(policy: RetryPolicyRecord | None) -> Json:
    given = policy or RetryPolicyRecord()
    shown = _without_none(
        initial_interval=_duration(given.initial_interval_ms),
        exponentiation_factor=given.exponentiation_factor,
    )
    shown["max_attempts"] = given.max_attempts
    shown |= _without_none(
        max_interval=_duration(given.max_interval_ms),
        on_max_attempts=None if given.on_max_attempts is None else _ON_MAX_ATTEMPTS[given.on_max_attempts],
    )
    return shown


def _map(options: OptionsRecord) -> dict[str, str] | None:
    return dict(options.metadata) if options.metadata else None


def _duration(*milliseconds: int | None) -> str | None:
    for value in milliseconds:
        if value is not None:
            return format_duration(value)
    return None


def _without_none(**values: object) -> Json:
    return {name: value for name, value in values.items() if value is not None}
