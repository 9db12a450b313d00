"""What the engine stores: one dataclass for each kind of row, and the engine's options.

Rules

1. Times are milliseconds since the epoch, `…_at`; durations are milliseconds, `…_ms`.
2. Invocations are named by their text form `inv_1…` everywhere; `InvocationId` of
   `durably.protocol.ids` gives the bytes.
3. `Invocation` is the only mutable record: a transaction gives out an object, the state machine
   changes it and puts it back. All others are replaced as a whole.
4. A handle names a notification within an invocation, as in `durably.machine`: completion ids are
   positive integers, signal indexes negative ones, named signals their name.

Life of an invocation:

    SCHEDULED ──due──► INBOXED ──head of its key──► RUNNING ◄──────────────┐
        └──────────── no key, or the key is free ──► │ │ │                 │
                       awaits what is not there ─────┘ │ │                 │
                       ▼                               │ │                 │
                   SUSPENDED ──notification────────────┼─┼─────────────────┤
                       attempt failed ─────────────────┘ │                 │
                       ▼                                 │                 │
                   BACKING_OFF ──retry is due────────────┼─────────────────┤
                       │ attempts used up                │                 │
                       ▼                                 │                 │
                   PAUSED ──resumed, or cancelled────────┼─────────────────┘
                       End, kill, cancel before start ───┘
                       ▼
                   COMPLETED ──retention──► gone
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from durably.protocol.manifest import (
    HandlerType,
    InputDescriptor,
    OnMaxAttempts,
    OutputDescriptor,
    ProtocolMode,
    ServiceType,
)
from durably.protocol.versions import ProtocolVersion

__all__ = [
    "CANCEL_SIGNAL",
    "AttemptFailure",
    "AttemptPlan",
    "Deployment",
    "EngineOptions",
    "Failure",
    "Handle",
    "HandlerRecord",
    "HandlerType",
    "Headers",
    "InboxItem",
    "InputDescriptor",
    "Invocation",
    "InvokedBy",
    "JournalEntry",
    "Lease",
    "Limits",
    "OnMaxAttempts",
    "OptionsRecord",
    "OutputDescriptor",
    "Promise",
    "PromiseWaiter",
    "ProtocolMode",
    "Result",
    "RetryPolicy",
    "RetryPolicyRecord",
    "ServiceRecord",
    "ServiceType",
    "StateEdit",
    "Status",
    "Target",
    "TargetKind",
    "Timer",
    "TimerKind",
    "Waiter",
]

CANCEL_SIGNAL: Final = 1
"""Index of the built-in signal that cancels an invocation; its handle is -1."""

Handle = int | str
"""Completion id, negated signal index, or name of a signal."""

Headers = tuple[tuple[str, str], ...]
"""Pairs of name and value, in their order."""


class Status(enum.Enum):
    """Where an invocation is; see the module. Values are what operators see."""

    SCHEDULED = "scheduled"
    INBOXED = "pending"
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    COMPLETED = "completed"


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


class InvokedBy(enum.Enum):
    """Who made an invocation."""

    INGRESS = "ingress"
    SERVICE = "service"
    RESTART = "restart_as_new"


class TimerKind(enum.IntEnum):
    """What happens when a timer is due."""

    SLEEP = 0
    """The completion `completion_id` of the invocation is appended."""
    START = 1
    """A scheduled invocation starts."""
    RETRY = 2
    """A new attempt starts after a failed one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A terminal failure, as callers get it.

    Attributes:
        code: 1 to 65535; an HTTP status where one fits.
        message: Text for the caller.
        metadata: Pairs of key and value.
    """

    code: int
    message: str
    metadata: Headers = ()


Result = bytes | Failure | None
"""What a notification, promise, signal or invocation brings: a value, a failure, or nothing (void)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which handler.

    Attributes:
        service: Name of the service, object or workflow.
        key: Key of the object or workflow; "" for plain services.
        handler: Name of the handler.
    """

    service: str
    key: str
    handler: str


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """Why an attempt failed; never seen by callers unless the policy ends the invocation with it.

    Attributes:
        code: As an Error message has it, or an HTTP-like number.
        message: Text for operators.
        doc_code: `RT0010` and the like, or "" where there is none.
        stacktrace: As the service sent it.
        retry_after_ms: Overrides the next delay once, and then uses up no attempt.
        counts_as_progress_retry: Whether `retry_count_since_last_stored_entry` grows. Not for failures before
            the handler could run: no deployment, status 415, a journal that cannot be read.
        behavior: What an Error message asked for: 0 retry, 1 pause, 2 fail.
        command_index: Index among commands of the one it is about, or None.
        command_name: Its name, or None.
        command_type: Its message type, or None.
    """

    code: int
    message: str
    doc_code: str = ""
    stacktrace: str = ""
    retry_after_ms: int | None = None
    counts_as_progress_retry: bool = True
    behavior: int = 0
    command_index: int | None = None
    command_name: str | None = None
    command_type: int | None = None


@dataclass(slots=True)
class Invocation:
    """One invocation. The journal, the result and what it waits for stand in records of their own.

    Fixed at creation:
        id: `inv_1…`.
        service, key, handler: The target; key "" for plain services.
        kind: How the handler is run.
        idempotency_key, scope, limit_key: As given by the caller, or None.
        invoked_by: Who made it.
        parent_id: The invocation that called, or that was restarted; indexed, see `Reader.children`.
        parent_target: `service/handler` or `service/key/handler` of `parent_id`, or "".
        created_at: When.
        random_seed: 64 bits, stable for its life; also part of the ids of its children.
        journal_retention_ms, completion_retention_ms: How long to keep both after completion.
        scheduled_start_at: When a delayed one starts, or None.

    Progress:
        status: See `Status`.
        modified_at: When `status` changed last.
        inboxed_at, running_at, completed_at: When that happened last (`running_at`: first), or None.
        journal_length: Entries stored; the next entry's index.
        command_count: Commands among them.
        deployment_id, protocol_version: Pinned with the first entry that a service wrote, or None.
        waits: Whether timers, waiters or promise waiters of it may exist; they are deleted when it completes.
        has_children: Whether it made invocations.
        suspended_on: Serialized `Future` it waits for while SUSPENDED, else None. V5 and V6 suspensions are
            written as FIRST_COMPLETED.
        awaiting_on: The same, as the service reported it while RUNNING (V7); a hint for operators.
        pause_requested: Whether it pauses at its next suspension or failure.
        expires_at: When a completed one is deleted; indexed, see `Reader.expired`.
        journal_expires_at: When its journal is; indexed, see `Reader.journals_expired`.

    Attempts:
        attempt: Number of the last attempt; frames of others are ignored. 0 before the first.
        attempt_deployment_id, attempt_version: What the last attempt was sent to and speaks, or None.
        attempt_server: `x-restate-server` of its response, or None.
        attempt_started_at: When it was started, or None.
        attempt_known_entries: How many entries the journal had then: all that its handler saw for sure.
        retry_count: Failed attempts that counted, since the last activation.
        retries_since_entry: Failed attempts since the last new command; goes into Start.
        last_entry_at: When the last new command was stored; Start's duration counts from it.
        next_retry_at: When a BACKING_OFF one is tried again, else None.
        last_failure: Why the last failed attempt failed; None after a success.
    """

    id: str
    service: str
    key: str
    handler: str
    kind: TargetKind
    idempotency_key: str | None = None
    scope: str | None = None
    limit_key: str | None = None
    invoked_by: InvokedBy = InvokedBy.INGRESS
    parent_id: str | None = None
    parent_target: str = ""
    created_at: int = 0
    random_seed: int = 0
    journal_retention_ms: int = 0
    completion_retention_ms: int = 0
    scheduled_start_at: int | None = None

    status: Status = Status.RUNNING
    modified_at: int = 0
    inboxed_at: int | None = None
    running_at: int | None = None
    completed_at: int | None = None
    journal_length: int = 0
    command_count: int = 0
    deployment_id: str | None = None
    protocol_version: int | None = None
    waits: bool = False
    has_children: bool = False
    suspended_on: bytes | None = None
    awaiting_on: bytes | None = None
    pause_requested: bool = False
    expires_at: int | None = None
    journal_expires_at: int | None = None

    attempt: int = 0
    attempt_deployment_id: str | None = None
    attempt_version: int | None = None
    attempt_server: str | None = None
    attempt_started_at: int | None = None
    retry_count: int = 0
    retries_since_entry: int = 0
    last_entry_at: int = 0
    next_retry_at: int | None = None
    last_failure: AttemptFailure | None = None
    attempt_known_entries: int = 0

    @property
    def target(self) -> Target:
        """The handler it runs."""
        return Target(self.service, self.key, self.handler)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One command or notification, exactly as it travels.

    Attributes:
        index: Position in the journal; 0 is the input.
        type: Message type.
        payload: Serialized message.
        handle: For notifications, what they complete; None for commands. Indexed by (invocation, handle).
        failed: For notifications, whether they bring a failure.
        appended_at: When it was stored.
    """

    index: int
    type: int
    payload: bytes
    handle: Handle | None = None
    failed: bool = False
    appended_at: int = 0


@dataclass(frozen=True, slots=True)
class Timer:
    """Something to do at a time. Key: (invocation_id, kind, completion_id); indexed by `due_at`.

    Attributes:
        due_at: When.
        kind: What.
        invocation_id: For which invocation.
        completion_id: For SLEEP, the completion to append, else 0.
    """

    due_at: int
    kind: TimerKind
    invocation_id: str
    completion_id: int = 0


@dataclass(frozen=True, slots=True)
class StateEdit:
    """A replacement of all the state of a key, from outside.

    Attributes:
        new_state: Every name and value afterwards.
        version: `state_version` that the state must have, else nothing is changed; None skips the check.
    """

    new_state: Mapping[bytes, bytes]
    version: str | None = None


@dataclass(frozen=True, slots=True)
class InboxItem:
    """One place in the queue of an object's key: an invocation, or an edit of the state.

    Attributes:
        sequence: Grows with each item stored, over all keys; given by the store.
        service: Name of the object.
        key: Its key.
        invocation_id: Who waits, or None for an edit.
        edit: The edit, or None for an invocation.
        created_at: When it was queued.
    """

    sequence: int
    service: str
    key: str
    invocation_id: str | None
    edit: StateEdit | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Promise:
    """A durable promise of a workflow that was completed. Key: (service, key, name).

    Attributes:
        service: Name of the workflow.
        key: Key of the workflow.
        name: Name of the promise.
        result: Its value or failure.
        completed_at: When it was completed.
    """

    service: str
    key: str
    name: str
    result: bytes | Failure
    completed_at: int


@dataclass(frozen=True, slots=True)
class PromiseWaiter:
    """An invocation that awaits a promise which is not completed."""

    service: str
    key: str
    name: str
    invocation_id: str
    completion_id: int


@dataclass(frozen=True, slots=True)
class Waiter:
    """An invocation that awaits the completion of another: a call, or an attachment.

    Attributes:
        invocation_id: The awaited one.
        waiter_id: The waiting one; indexed too.
        completion_id: Which of its completions it becomes.
        notification_type: Message type of the notification (`CALL_COMPLETION`, `ATTACH_INVOCATION_COMPLETION`).
    """

    invocation_id: str
    waiter_id: str
    completion_id: int
    notification_type: int


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


@dataclass(frozen=True, slots=True)
class AttemptPlan:
    """All that the runtime needs to open an attempt.

    Attributes:
        invocation_id: Whose.
        attempt: Its number.
        deployment: Where to send it.
        version: Which protocol version it speaks.
        target: Path (`/invoke/{service}/{handler}`) and, for keyed targets, the key header.
        is_keyed: Whether the target has a key, which may be "".
        frames: Start, then the whole journal: (type, flags, payload), ready for framing.
        known_entries: Length of the journal in `frames`; delivered entries with a lower index are known already.
        inactivity_timeout_ms: Idle time before the request is half-closed; 0 half-closes at once.
        abort_timeout_ms: Further time before the attempt is aborted.
    """

    invocation_id: str
    attempt: int
    deployment: Deployment
    version: ProtocolVersion
    target: Target
    is_keyed: bool
    frames: tuple[tuple[int, int, bytes], ...]
    known_entries: int
    inactivity_timeout_ms: int
    abort_timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How failed attempts are retried.

    Attributes:
        initial_interval_ms: Pause before the second attempt.
        factor: Each pause is the last one times this.
        max_interval_ms: Longest pause.
        max_attempts: Total, the first included; None for no end.
        on_max_attempts: What happens then.
    """

    initial_interval_ms: int = 500
    factor: float = 2.0
    max_interval_ms: int = 60_000
    max_attempts: int | None = 70
    on_max_attempts: OnMaxAttempts = OnMaxAttempts.PAUSE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of something is accepted, inclusive.

    Attributes:
        message_bytes: One message to or from a service.
        body_bytes: One request body at the ingress.
        header_bytes: All headers of a request together.
        header_count: Their number.
        key_bytes: Key of an object or workflow.
        idempotency_key_bytes: An idempotency key.
        journal_entries: Entries of a journal; a command beyond it fails the attempt for good (PAUSE).
        journal_entries_warning: From where the engine warns.
        future_depth: Nesting of what an invocation awaits.
        eager_state_bytes: State sent along with an attempt; the rest is fetched when asked for.
        attempts_in_flight: Attempts open at the same time.
    """

    message_bytes: int = 32 * 1024 * 1024
    body_bytes: int = 32 * 1024 * 1024
    header_bytes: int = 64 * 1024
    header_count: int = 100
    key_bytes: int = 8 * 1024
    idempotency_key_bytes: int = 1024
    journal_entries: int = 100_000
    journal_entries_warning: int = 10_000
    future_depth: int = 1000
    eager_state_bytes: int = 32 * 1024 * 1024
    attempts_in_flight: int = 1000


_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Defaults where no manifest says otherwise, and limits.

    Attributes:
        inactivity_timeout_ms: Idle time of an attempt before it is asked to suspend; 0 always asks at once.
        abort_timeout_ms: Further time before it is aborted.
        journal_retention_ms: How long journals are kept after completion.
        idempotency_retention_ms: How long results of idempotent requests are.
        workflow_retention_ms: How long finished workflow runs are.
        retry_policy: How failed attempts are retried.
        enable_lazy_state: Whether no state is sent along.
        max_protocol_version: Highest version of the service protocol that is spoken.
        limits: How much is accepted.
    """

    inactivity_timeout_ms: int = 60_000
    abort_timeout_ms: int = 600_000
    journal_retention_ms: int = _DAY_MS
    idempotency_retention_ms: int = _DAY_MS
    workflow_retention_ms: int = _DAY_MS
    retry_policy: RetryPolicy = RetryPolicy()
    enable_lazy_state: bool = False
    max_protocol_version: ProtocolVersion = ProtocolVersion.V7
    limits: Limits = Limits()
