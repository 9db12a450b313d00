"""What the engine stores about deployments, their services and who drives them.

The rules of `durably.engine.records` hold here too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from durably.protocol.manifest import (
    InputDescriptor,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    ServiceType,
)

__all__ = [
    "Deployment",
    "HandlerRecord",
    "Headers",
    "Lease",
    "OptionsRecord",
    "RetryPolicyRecord",
    "ServiceRecord",
    "TargetKind",
]

Headers = tuple[tuple[str, str], ...]
"""Pairs of name and value, in their order."""


class TargetKind(enum.Enum):
    """How a handler is run."""

    SERVICE = "service"
    EXCLUSIVE = "exclusive"
    SHARED = "shared"
    WORKFLOW_RUN = "workflow_run"
    WORKFLOW_SHARED = "workflow_shared"

    @property
    def is_keyed(self) -> bool:
        """Whether the handler belongs to a key, hence has state."""
        return self is not TargetKind.SERVICE

    @property
    def may_write_state(self) -> bool:
        """Whether the handler may change the state of its key."""
        return self is TargetKind.EXCLUSIVE or self is TargetKind.WORKFLOW_RUN

    @property
    def is_workflow(self) -> bool:
        """Whether the handler belongs to a workflow, hence has promises."""
        return self is TargetKind.WORKFLOW_RUN or self is TargetKind.WORKFLOW_SHARED


@dataclass(frozen=True, slots=True)
class Deployment:
    """An address at which services run.

    Attributes:
        id: `dp_1…`.
        uri: Where; unique, without trailing `/`. `inprocess://…` for an application in this process.
        created_at: When it was registered first.
        protocol_mode: Whether request and response overlap.
        http_version: `HTTP/1.1` or `HTTP/2.0`.
        min_protocol_version: Lowest version of the service protocol it speaks.
        max_protocol_version: Highest.
        sdk_version: `x-restate-server` of the discovery, or None.
        additional_headers: Sent with every request; secret, never shown.
        metadata: Shown to operators.
        use_http_11: Whether registration asked for HTTP/1.1.
    """

    id: str
    uri: str
    created_at: int
    protocol_mode: ProtocolMode
    http_version: str
    min_protocol_version: int
    max_protocol_version: int
    sdk_version: str | None = None
    additional_headers: Headers = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    use_http_11: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicyRecord:
    """The manifest's retry options; None leaves a value to the next level up."""

    initial_interval_ms: int | None = None
    max_interval_ms: int | None = None
    max_attempts: int | None = None
    exponentiation_factor: float | None = None
    on_max_attempts: OnMaxAttempts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsRecord:
    """The manifest's options of a service or handler; None leaves a value to the next level up.

    Attributes:
        public: False hides it from the ingress.
        eager_state_keys: With lazy state, the keys to send along all the same.
    """

    documentation: str | None = None
    metadata: Mapping[str, str] | None = None
    inactivity_timeout_ms: int | None = None
    abort_timeout_ms: int | None = None
    journal_retention_ms: int | None = None
    idempotency_retention_ms: int | None = None
    workflow_completion_retention_ms: int | None = None
    enable_lazy_state: bool | None = None
    eager_state_keys: tuple[str, ...] | None = None
    public: bool | None = None
    retry_policy: RetryPolicyRecord | None = None


@dataclass(frozen=True, slots=True)
class HandlerRecord:
    """One handler of a registered service.

    Attributes:
        name: As in the path of an invocation.
        kind: How it is run.
        options: As in its manifest.
        input: What the ingress checks; None accepts everything.
        output: How the ingress labels the response; None labels non-empty bodies as JSON.
    """

    name: str
    kind: TargetKind
    options: OptionsRecord
    input: InputDescriptor | None = None
    output: OutputDescriptor | None = None


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One revision of a service. Key: (name, revision); the highest revision takes new invocations.

    Attributes:
        name: Name.
        revision: 1 for the first; grows by one with each deployment that brings the service.
        deployment_id: Where this revision runs.
        type: Kind of service.
        options: As in its manifest, with what operators changed since.
        handlers: By name.
    """

    name: str
    revision: int
    deployment_id: str
    type: ServiceType
    options: OptionsRecord
    handlers: Mapping[str, HandlerRecord]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who drives the store.

    Attributes:
        epoch: Grows with each take-over; a transaction of an older one is refused.
        owner: Name of the process that drives, or "".
        address: Where the others reach it, or "".
        expires_at: Until when it may be relied on without asking it.
    """

    epoch: int = 0
    owner: str = ""
    address: str = ""
    expires_at: int = 0
