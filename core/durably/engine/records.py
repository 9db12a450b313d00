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
from dataclasses import dataclass
from typing import Final

from durably.engine.options import EngineOptions, Limits, RetryPolicy
from durably.engine.registrations import (
    Deployment,
    HandlerRecord,
    Headers,
    Lease,
    OptionsRecord,
    RetryPolicyRecord,
    ServiceRecord,
    TargetKind,
)
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


class Status(enum.Enum):
    """Where an invocation is; see the module. Values are what operators see."""

    SCHEDULED = "scheduled"
    INBOXED = "pending"
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    SUSPENDED = "suspended"
    PAUSED = "paused"
    COMPLETED = "completed"


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
