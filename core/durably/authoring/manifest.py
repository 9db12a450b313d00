"""The description of an endpoint that the runtime asks for at registration.

Owns the way from registered services to the manifest's own types, JSON Schemas included. How a manifest is
written, and for which version, is `protocol.manifest`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable

from durably.authoring.handlers import Handler
from durably.authoring.options import HandlerOptions, InvocationRetryPolicy
from durably.authoring.services import DefinedService
from durably.authoring.signatures import HandlerKind
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

__all__ = ["endpoint_manifest"]


def endpoint_manifest(services: Iterable[DefinedService], mode: ProtocolMode) -> EndpointManifest:
    """Describe services, in their order.

    Raises:
        UndefinedTypeError: A type in a signature still refers to a name that does not exist.
    """
    return EndpointManifest(
        protocol_mode=mode,
        min_protocol_version=MIN_VERSION,
        max_protocol_version=MAX_VERSION,
        services=tuple(_service(service) for service in services),
    )


def _service(service: DefinedService) -> ServiceManifest:
    options = service.options
    return ServiceManifest(
        name=service.name,
        type=ServiceType(service.kind.value),
        handlers=tuple(_handler(handler) for handler in service.handlers.values()),
        documentation=service.description,
        metadata=options.metadata,
        inactivity_timeout=options.inactivity_timeout,
        abort_timeout=options.abort_timeout,
        journal_retention=options.journal_retention,
        idempotency_retention=options.idempotency_retention,
        enable_lazy_state=options.lazy_state,
        eager_state_keys=options.eager_state_keys,
        ingress_private=options.ingress_private,
        retry_policy=_retry_policy(options),
    )


def _handler(handler: Handler) -> HandlerManifest:
    options = handler.options
    return HandlerManifest(
        name=handler.name,
        type=None if handler.kind is HandlerKind.PLAIN else HandlerType(handler.kind.value),
        input=_input(handler),
        output=_output(handler),
        documentation=handler.documentation,
        metadata=options.metadata,
        inactivity_timeout=options.inactivity_timeout,
        abort_timeout=options.abort_timeout,
        journal_retention=options.journal_retention,
        idempotency_retention=options.idempotency_retention,
        workflow_completion_retention=options.workflow_retention,
        enable_lazy_state=options.lazy_state,
        eager_state_keys=options.eager_state_keys,
        ingress_private=options.ingress_private,
        retry_policy=_retry_policy(options),
    )


def _input(handler: Handler) -> InputDescriptor:
    payload = handler.input
    if payload.is_void:
        return InputDescriptor()
    return InputDescriptor(
        required=handler.requires_input,
        content_type=payload.content_type,
        json_schema=payload.json_schema(of_input=True),
    )


def _output(handler: Handler) -> OutputDescriptor:
    payload = handler.output
    if payload.is_void:
        return OutputDescriptor()
    return OutputDescriptor(content_type=payload.content_type, json_schema=payload.json_schema(of_input=False))


def _retry_policy(options: HandlerOptions) -> RetryPolicyManifest | None:
    policy: InvocationRetryPolicy | None = options.invocation_retry_policy
    if policy is None:
        return None
    return RetryPolicyManifest(
        initial_interval=policy.initial_interval,
        max_interval=policy.max_interval,
        max_attempts=policy.max_attempts,
        exponentiation_factor=policy.exponentiation_factor,
        on_max_attempts=None if policy.on_max_attempts is None else OnMaxAttempts(policy.on_max_attempts.upper()),
    )
