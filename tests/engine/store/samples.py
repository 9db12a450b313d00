"""Rows for the tests of the stores, and everything a reader can tell about them as one value."""

from __future__ import annotations

from collections.abc import Iterable

from durably.engine.records import (
    AttemptFailure,
    Deployment,
    HandlerRecord,
    InputDescriptor,
    Invocation,
    InvokedBy,
    JournalEntry,
    OnMaxAttempts,
    OptionsRecord,
    OutputDescriptor,
    ProtocolMode,
    RetryPolicyRecord,
    ServiceRecord,
    ServiceType,
    Status,
    TargetKind,
)
from durably.engine.store.contract import Reader, Transaction

IDS = ("inv_b", "inv_a", "inv_d", "inv_c")
"""Ids of invocations; their order is not the order of their creation."""

OBJECTS = (("Cart", ""), ("Cart", "k"), ("Cart ✓\0'\";--", "k"))
NAMES = (b"", b"a", b"\xff\x00")
PROMISES = ("", "p")
HANDLES = (1, 5, -1, "5", "")
DEPLOYMENTS = ("dp_1", "dp_2")


def invocation(invocation_id: str = "inv_a", parent_id: str | None = None, seed: int = 7) -> Invocation:
    """Make an invocation as the core does: fixed fields first, the rest at their defaults."""
    return Invocation(
        invocation_id,
        "Cart",
        "k\0✓",
        "add",
        TargetKind.EXCLUSIVE,
        idempotency_key=None if parent_id else "",
        scope="s",
        limit_key=None,
        invoked_by=InvokedBy.SERVICE if parent_id else InvokedBy.INGRESS,
        parent_id=parent_id,
        parent_target="Cart/k/add" if parent_id else "",
        created_at=1_700_000_000_000,
        random_seed=seed,
        journal_retention_ms=5,
        completion_retention_ms=6,
        scheduled_start_at=None,
        status=Status.INBOXED,
    )


def advance(row: Invocation, number: int) -> None:
    """Change every field that may change; equal numbers give equal rows."""
    row.status = list(Status)[number % len(Status)]
    row.modified_at = number
    row.inboxed_at = number or None
    row.running_at = None if number % 2 else number
    row.completed_at = number if number % 3 else None
    row.deployment_id = "dp_1" if number % 2 else None
    row.protocol_version = 5 + number % 3 if number % 2 else None
    row.waits = number % 2 == 0
    row.has_children = number % 3 == 0
    row.suspended_on = None if number % 2 else bytes([number % 256])
    row.awaiting_on = b"" if number % 5 == 0 else None
    row.pause_requested = number % 5 == 0
    row.expires_at = number if number % 4 else None
    row.journal_expires_at = number + 3 if number % 3 else None
    row.attempt = number
    row.attempt_deployment_id = "dp_2" if number % 2 else None
    row.attempt_version = 6 if number % 2 else None
    row.attempt_server = "sdk/1" if number % 3 else None
    row.attempt_started_at = number if number % 2 else None
    row.attempt_known_entries = number % 11
    row.retry_count = number
    row.retries_since_entry = number + 1
    row.last_entry_at = number + 2
    row.next_retry_at = number if number % 7 else None
    row.last_failure = (
        AttemptFailure(500, "no \ud800", "RT0016", "trace", 5, False, 1, 2, "name", 0x0411) if number % 3 == 1 else None
    )


def count_entries(transaction: Transaction, row: Invocation) -> None:
    """Have the counts of one that runs agree with its journal: of those a store need not write what it can count."""
    if row.status is Status.RUNNING:
        journal = transaction.entries(row.id)
        commands = [entry for entry in journal if entry.handle is None]
        row.journal_length, row.command_count = len(journal), len(commands)
        if commands:
            row.last_entry_at = commands[-1].appended_at


def entries(first: int, *handles: int | str | None) -> list[JournalEntry]:
    """Make entries that continue a journal at `first`: a notification for each handle, a command for None."""
    return [
        JournalEntry(
            first + offset,
            0x0411 if handle is None else 0x8011,
            bytes([first % 256]) * (offset * 50),
            handle,
            failed=handle is not None and (first + offset) % 2 == 1,
            appended_at=first + offset,
        )
        for offset, handle in enumerate(handles)
    ]


def deployment(deployment_id: str = "dp_1", uri: str = "http://one", created_at: int = 5) -> Deployment:
    """Make a deployment with every field set."""
    return Deployment(
        deployment_id,
        uri,
        created_at,
        ProtocolMode.BIDI_STREAM,
        "HTTP/2.0",
        5,
        7,
        "sdk/1",
        (("authorization", "secret"), ("a", "1"), ("a", "2")),
        {"team": "x"},
        True,
    )


def service(name: str = "Cart", revision: int = 1, deployment_id: str = "dp_1") -> ServiceRecord:
    """Make a revision of a service with every option set somewhere."""
    options = OptionsRecord(
        documentation="doc",
        metadata={"k": "v"},
        inactivity_timeout_ms=1,
        abort_timeout_ms=2,
        journal_retention_ms=0,
        idempotency_retention_ms=4,
        workflow_completion_retention_ms=5,
        enable_lazy_state=False,
        eager_state_keys=("a", "b"),
        public=False,
        retry_policy=RetryPolicyRecord(
            initial_interval_ms=1,
            max_interval_ms=2,
            max_attempts=3,
            exponentiation_factor=1.5,
            on_max_attempts=OnMaxAttempts.KILL,
        ),
    )
    add = HandlerRecord(
        "add",
        TargetKind.EXCLUSIVE,
        OptionsRecord(),
        InputDescriptor(required=True, content_type="application/json", json_schema={"type": ["string", "null"]}),
        OutputDescriptor(content_type="text/plain", set_content_type_if_empty=True, json_schema={"const": None}),
    )
    see = HandlerRecord("see", TargetKind.SHARED, options)
    return ServiceRecord(name, revision, deployment_id, ServiceType.VIRTUAL_OBJECT, options, {"add": add, "see": see})


def everything(reader: Reader, ids: Iterable[str] = IDS) -> dict[str, object]:
    """Ask a reader all it can be asked, and give the answers."""
    return {
        "invocations": {
            name: (
                reader.invocation(name),
                reader.result(name),
                sorted(reader.children(name)),
                reader.entries(name),
                reader.entries(name, 2),
                [reader.notified(name, HANDLES, start) for start in (0, 1, 3)],
                reader.waiters(name),
            )
            for name in ids
        },
        "running": (reader.running("", 9), reader.running("", 1), reader.running("inv_b", 9)),
        "expired": [
            (reader.expired(now, 9), reader.expired(now, 1), reader.journals_expired(now, 2)) for now in (5, 50)
        ],
        "next": (reader.next_expiry(), reader.next_timer()),
        "timers": (reader.due_timers(10, 9), reader.due_timers(10**9, 2)),
        "objects": {
            name: (
                reader.lock_holder(*name),
                reader.inbox_head(*name),
                reader.state_names(*name),
                list(reader.state_items(*name)),
                [reader.state_value(*name, state) for state in NAMES],
                [(reader.promise(*name, promise), reader.promise_waiters(*name, promise)) for promise in PROMISES],
            )
            for name in OBJECTS
        },
        "deployments": (
            reader.deployments(),
            [reader.deployment(name) for name in DEPLOYMENTS],
            [reader.deployment_at(uri) for uri in ("http://one", "http://two")],
        ),
        "services": (
            reader.services(),
            [reader.services_of(name) for name in DEPLOYMENTS],
            [(reader.service(name), reader.service_at(name, "dp_1")) for name in ("Cart", "Other")],
        ),
        "lease": reader.lease(),
    }
