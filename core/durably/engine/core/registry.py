"""Deployments and services.

Rules

1. A deployment is known by its address. Registering a known one again changes nothing without `force`;
   with it its services are replaced and it keeps its id.
2. Each deployment that brings a service makes its next revision. The latest revision takes new
   invocations; those that began elsewhere stay there.
3. What is refused, all at once, with nothing stored:

    doc code  why
    --------  ------------------------------------------------------------------------------
    META0005  a service's name begins with `restate` or `openapi`
    META0006  a service changes its kind, without `breaking`
    META0012  no service protocol version in common
    META0013  a handler's kind, or an option, does not fit its service

Source: endpoint manifest schema; the runtime's effective handler kinds.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Final

from durably.engine.actions import Done, Failed, FailureSource, Registered, RegistryChanged
from durably.engine.core.turn import Turn
from durably.engine.events import DeleteDeployment, PatchService, RegisterDeployment
from durably.engine.records import (
    Deployment,
    HandlerRecord,
    HandlerType,
    OptionsRecord,
    RetryPolicyRecord,
    ServiceRecord,
    ServiceType,
    TargetKind,
)
from durably.protocol.manifest import HandlerManifest, RetryPolicyManifest, ServiceManifest
from durably.protocol.versions import MAX_VERSION, MIN_VERSION

__all__ = ["delete", "patch", "register"]

_RESERVED: Final = ("restate", "openapi")

_KINDS: Final[dict[tuple[ServiceType, HandlerType | None], TargetKind]] = {
    (ServiceType.SERVICE, None): TargetKind.SERVICE,
    (ServiceType.SERVICE, HandlerType.SHARED): TargetKind.SERVICE,
    (ServiceType.VIRTUAL_OBJECT, None): TargetKind.EXCLUSIVE,
    (ServiceType.VIRTUAL_OBJECT, HandlerType.EXCLUSIVE): TargetKind.EXCLUSIVE,
    (ServiceType.VIRTUAL_OBJECT, HandlerType.SHARED): TargetKind.SHARED,
    (ServiceType.WORKFLOW, None): TargetKind.WORKFLOW_SHARED,
    (ServiceType.WORKFLOW, HandlerType.SHARED): TargetKind.WORKFLOW_SHARED,
    (ServiceType.WORKFLOW, HandlerType.WORKFLOW): TargetKind.WORKFLOW_RUN,
}


def register(turn: Turn, event: RegisterDeployment) -> None:
    """Register what was discovered at an address."""
    refused = _check(turn, event)
    if refused is not None:
        turn.reply(event.reply, refused)
        return
    tx, found = turn.tx, event.deployment
    known = tx.deployment_at(found.uri)
    if known is not None and not event.force:
        revisions = tuple((service.name, service.revision) for service in tx.services_of(known.id))
        turn.reply(event.reply, Registered(known.id, False, False, revisions))
        return
    deployment = found if known is None else dataclasses.replace(found, id=known.id, created_at=known.created_at)
    services = [_revise(turn, deployment, manifest) for manifest in event.services]
    if not event.dry_run:
        tx.put_deployment(deployment)
        kept = {(service.name, service.revision) for service in services}
        for old in tx.services_of(deployment.id):
            if (old.name, old.revision) not in kept:
                tx.delete_service(old.name, old.revision)
        for service in services:
            tx.put_service(service)
        turn.actions.append(RegistryChanged())
    revisions = tuple((service.name, service.revision) for service in services)
    turn.reply(event.reply, Registered(deployment.id, known is None, not event.dry_run, revisions))


def patch(turn: Turn, event: PatchService) -> None:
    """Change options of the latest revision of a service."""
    service = turn.tx.service(event.service)
    if service is None:
        turn.reply(event.reply, _refusal(404, f"There is no service {event.service!r}."))
        return
    handlers = service.handlers
    if event.options.public is not None:
        # An operator's word is about the whole service, also where a handler was private by itself.
        handlers = {
            name: dataclasses.replace(handler, options=dataclasses.replace(handler.options, public=None))
            for name, handler in handlers.items()
        }
    changes = {
        field.name: value
        for field in dataclasses.fields(event.options)
        if (value := getattr(event.options, field.name)) is not None
    }
    turn.tx.put_service(
        dataclasses.replace(service, options=dataclasses.replace(service.options, **changes), handlers=handlers)
    )
    turn.actions.append(RegistryChanged())
    turn.reply(event.reply, Done())


def delete(turn: Turn, event: DeleteDeployment) -> None:
    """Forget a deployment. What is pinned to it fails until it is resumed elsewhere."""
    if turn.tx.deployment(event.deployment_id) is None:
        turn.reply(event.reply, _refusal(404, f"There is no deployment {event.deployment_id}."))
        return
    turn.tx.delete_deployment(event.deployment_id)
    turn.actions.append(RegistryChanged())
    turn.reply(event.reply, Done())


def _check(turn: Turn, event: RegisterDeployment) -> Failed | None:
    deployment = event.deployment
    lowest, highest = deployment.min_protocol_version, deployment.max_protocol_version
    if lowest > MAX_VERSION or highest < MIN_VERSION or lowest > highest:
        return _refusal(
            400,
            f"The deployment speaks service protocol V{lowest} to V{highest}, the engine V{MIN_VERSION:d} to"
            f" V{MAX_VERSION:d}.",
            "META0012",
        )
    for manifest in event.services:
        refused = _check_service(turn, event, manifest)
        if refused is not None:
            return refused
    return None


def _check_service(turn: Turn, event: RegisterDeployment, manifest: ServiceManifest) -> Failed | None:
    name = manifest.name
    if name.lower().startswith(_RESERVED):
        return _refusal(400, f"Service {name!r} has a name that is reserved.", "META0005")
    latest = turn.tx.service(name)
    if latest is not None and latest.type is not manifest.type and not event.breaking:
        return _refusal(
            409,
            f"Service {name!r} is a {latest.type.value} and would become a {manifest.type.value}; register it with"
            " `breaking` if you mean that.",
            "META0006",
        )
    for handler in manifest.handlers:
        wrong = _wrong_handler(manifest, handler)
        if wrong is not None:
            return _refusal(400, f"Handler {name}/{handler.name}: {wrong}", "META0013")
    return None


def _wrong_handler(manifest: ServiceManifest, handler: HandlerManifest) -> str | None:
    kind = _KINDS.get((manifest.type, handler.type))
    if kind is None:
        return f"{'no kind' if handler.type is None else handler.type.value} does not fit a {manifest.type.value}."
    if handler.workflow_completion_retention is not None and kind is not TargetKind.WORKFLOW_RUN:
        return "a workflow completion retention is only for the run of a workflow."
    if handler.idempotency_retention is not None and kind is TargetKind.WORKFLOW_RUN:
        return "the run of a workflow has no idempotency retention."
    if handler.ingress_private is False and manifest.ingress_private:
        return "a handler of a private service cannot be public."
    return None


def _revise(turn: Turn, deployment: Deployment, manifest: ServiceManifest) -> ServiceRecord:
    latest = turn.tx.service(manifest.name)
    service = ServiceRecord(
        name=manifest.name,
        revision=1 if latest is None else latest.revision,
        deployment_id=deployment.id,
        type=manifest.type,
        options=_options_of(manifest, None),
        handlers={
            handler.name: HandlerRecord(
                handler.name,
                _KINDS[manifest.type, handler.type],
                _options_of(handler, handler.workflow_completion_retention),
                handler.input,
                handler.output,
            )
            for handler in manifest.handlers
        },
    )
    if latest is None or latest == service:
        return service
    return dataclasses.replace(service, revision=latest.revision + 1)


def _options_of(manifest: ServiceManifest | HandlerManifest, workflow_retention: timedelta | None) -> OptionsRecord:
    private = manifest.ingress_private
    return OptionsRecord(
        documentation=manifest.documentation,
        metadata=None if manifest.metadata is None else dict(manifest.metadata),
        inactivity_timeout_ms=_ms(manifest.inactivity_timeout),
        abort_timeout_ms=_ms(manifest.abort_timeout),
        journal_retention_ms=_ms(manifest.journal_retention),
        idempotency_retention_ms=_ms(manifest.idempotency_retention),
        workflow_completion_retention_ms=_ms(workflow_retention),
        enable_lazy_state=manifest.enable_lazy_state,
        eager_state_keys=manifest.eager_state_keys,
        public=None if private is None else not private,
        retry_policy=None if manifest.retry_policy is None else _policy_of(manifest.retry_policy),
    )


def _policy_of(policy: RetryPolicyManifest) -> RetryPolicyRecord:
    return RetryPolicyRecord(
        initial_interval_ms=_ms(policy.initial_interval),
        max_interval_ms=_ms(policy.max_interval),
        max_attempts=policy.max_attempts,
        exponentiation_factor=policy.exponentiation_factor,
        on_max_attempts=policy.on_max_attempts,
    )


def _ms(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(milliseconds=1)


def _refusal(code: int, message: str, doc_code: str = "") -> Failed:
    return Failed(code, message, source=FailureSource.ADMIN, doc_code=doc_code)
