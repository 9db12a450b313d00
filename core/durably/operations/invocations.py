"""Invocations as operators see them: which there are, page by page, and acting on one or many.

Owns the columns, the filters, and the operations. Many are done in batches; each one that is refused is listed with
the reason.

A page is found by what stands at its edge, not by a number of rows to skip: so the hundredth page costs what the first
one costs, and what starts meanwhile moves nothing. An engine in the same process or in a file is read from its newest
invocation on; others sort by the time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from durably.errors import UsageError
from durably.operations.connections import Remote
from durably.operations.errors import NotFoundError
from durably.protocol.ids import InvocationId

__all__ = [
    "INVOCATION_FIELDS",
    "Applied",
    "Filters",
    "Operation",
    "Page",
    "Result",
    "Status",
    "apply",
    "is_invocation_id",
    "quoted",
    "read_one",
    "read_page",
    "rows_of",
]

INVOCATION_FIELDS: Final = (
    "id",
    "target",
    "target_service_name",
    "target_service_key",
    "target_handler_name",
    "status",
    "completion_result",
    "completion_failure",
    "created_at",
    "modified_at",
    "scheduled_start_at",
    "completed_at",
    "invoked_by",
    "invoked_by_id",
    "idempotency_key",
    "pinned_deployment_id",
    "retry_count",
    "next_retry_at",
    "last_failure",
    "journal_size",
)
"""Columns of an invocation in JSON; each is always there."""

_BATCH: Final = 100
_ID_BEGINS: Final = "inv_"
_BETWEEN: Final = "~"
_MOST_EDGE_CHARS: Final = 200


class Status(enum.StrEnum):
    """Where an invocation is."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    BACKING_OFF = "backing-off"
    SUSPENDED = "suspended"
    COMPLETED = "completed"


class Result(enum.StrEnum):
    """How an invocation ended."""

    SUCCESS = "success"
    FAILURE = "failure"


class Operation(enum.StrEnum):
    """What can be done to an invocation; the value is the runtime's name for it."""

    CANCEL = "cancel"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    RESTART = "restart-as-new"
    PURGE = "purge"
    PURGE_JOURNAL = "purge-journal"


def is_invocation_id(text: str) -> bool:
    """Whether a text can be the id of an invocation."""
    try:
        InvocationId.decode(text)
    except ValueError:
        return False
    return True


def quoted(text: str) -> str:
    """Write a text as SQL does."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which invocations; what is not given excludes nothing.

    Attributes:
        statuses: Any of these.
        result: Ended like this.
        service: Of this service.
        handler: Of this handler.
        key: Of this object or workflow.
        text: An invocation's id; or part of its key or idempotency key.
    """

    statuses: tuple[Status, ...] = ()
    result: Result | None = None
    service: str | None = None
    handler: str | None = None
    key: str | None = None
    text: str | None = None

    def conditions(self) -> list[str]:
        """Write them in SQL."""
        found: list[str] = []
        if self.statuses:
            found.append(f"status IN ({', '.join(quoted(each.value) for each in self.statuses)})")
        for column, value in (
            ("completion_result", None if self.result is None else self.result.value),
            ("target_service_name", self.service),
            ("target_handler_name", self.handler),
            ("target_service_key", self.key),
        ):
            if value is not None:
                found.append(f"{column} = {quoted(value)}")
        if self.text:
            text = quoted(self.text)
            if is_invocation_id(self.text):
                found.append(f"id = {text}")
            else:
                found.append(f"(instr(target_service_key, {text}) > 0 OR instr(idempotency_key, {text}) > 0)")
        return found

    @property
    def where(self) -> str:
        """The clause of a query, with a blank before it; empty where there are no filters."""
        conditions = self.conditions()
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""


@dataclass(frozen=True, slots=True)
class Page:
    """Some invocations, newest first.

    Attributes:
        rows: With all of `INVOCATION_FIELDS`.
        newer: For `read_page(after=…)`; None on the newest page.
        older: For `read_page(before=…)`; None on the oldest page.
    """

    rows: list[dict[str, Any]]
    newer: str | None
    older: str | None


async def rows_of(remote: Remote, where: str, limit: int) -> list[dict[str, Any]]:
    """Give invocations, newest first, with all of `INVOCATION_FIELDS`."""
    order = "sequence" if remote.is_at_hand else "created_at"
    sql = f"SELECT {', '.join(INVOCATION_FIELDS)} FROM sys_invocation{where} ORDER BY {order} DESC LIMIT {limit}"  # noqa: S608 - quoted
    return [{name: row.get(name) for name in INVOCATION_FIELDS} for row in await remote.query(sql)]


async def read_one(remote: Remote, invocation_id: str) -> dict[str, Any]:
    """Give one invocation, with all of `INVOCATION_FIELDS`.

    Raises:
        NotFoundError: There is none with this id.
    """
    found: list[dict[str, Any]] = []
    if is_invocation_id(invocation_id):  # a server answers others with an error
        found = await rows_of(remote, f" WHERE id = {quoted(invocation_id)}", 1)
    if not found:
        raise NotFoundError(f"There is no invocation {invocation_id}.")
    return found[0]


async def read_page(
    remote: Remote, filters: Filters, *, size: int, before: str | None = None, after: str | None = None
) -> Page:
    """Give a page of invocations, newest first.

    Args:
        remote: The runtime.
        filters: Which.
        size: Most rows, 1 or more.
        before: `Page.older`, to go on from there.
        after: `Page.newer`, to go back; where fewer than a page are newer, the newest page is given.

    Raises:
        UsageError: `before` or `after` does not come from a page of this runtime.
    """
    is_back = after is not None
    edge = after if is_back else before
    conditions = filters.conditions()
    if edge is not None:
        conditions.append(_beyond(remote, edge, ">" if is_back else "<"))
    direction = "ASC" if is_back else "DESC"
    order = f"sequence {direction}" if remote.is_at_hand else f"created_at {direction}, id {direction}"
    columns = (*INVOCATION_FIELDS, "sequence") if remote.is_at_hand else INVOCATION_FIELDS
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = await remote.query(
        f"SELECT {', '.join(columns)} FROM sys_invocation{where} ORDER BY {order} LIMIT {size + 1}"  # noqa: S608 - quoted
    )
    has_more = len(rows) > size
    if is_back and not has_more:
        return await read_page(remote, filters, size=size)
    rows = rows[:size]
    if is_back:
        rows.reverse()
    newer = _edge(remote, rows[0]) if rows and (is_back or edge is not None) else None
    older = _edge(remote, rows[-1]) if rows and (is_back or has_more) else None
    return Page([{name: row.get(name) for name in INVOCATION_FIELDS} for row in rows], newer, older)


def _edge(remote: Remote, row: Mapping[str, Any]) -> str:
    return str(row["sequence"]) if remote.is_at_hand else f"{row['created_at']}{_BETWEEN}{row['id']}"


def _beyond(remote: Remote, edge: str, sign: str) -> str:
    refusal = UsageError(f"{edge[:_MOST_EDGE_CHARS]!r} is no place in the list of invocations.")
    if remote.is_at_hand:
        if not (edge.isascii() and edge.isdecimal() and len(edge) < 19):
            raise refusal
        return f"sequence {sign} {int(edge)}"
    at, between, invocation_id = edge.partition(_BETWEEN)
    if not between or len(edge) > _MOST_EDGE_CHARS:
        raise refusal
    return f"(created_at {sign} {quoted(at)} OR (created_at = {quoted(at)} AND id {sign} {quoted(invocation_id)}))"


@dataclass(slots=True)
class Applied:
    """What came of an operation.

    Attributes:
        succeeded: Ids; for restarts `{"old_invocation_id", "new_invocation_id"}`.
        failed: `{"invocation_id", "error"}` for each that was refused.
    """

    succeeded: list[Any] = field(default_factory=list[Any])
    failed: list[dict[str, str]] = field(default_factory=list[dict[str, str]])


async def apply(
    remote: Remote,
    operation: Operation,
    chosen: Sequence[str],
    parameters: Mapping[str, str] | None = None,
    advance: Callable[[int], object] | None = None,
) -> Applied:
    """Do something to invocations.

    Args:
        remote: The runtime.
        operation: What.
        chosen: Ids; an unknown one among several is among the failed.
        parameters: `deployment` and `from`, where the operation has them.
        advance: Told how many are done, batch by batch.

    Raises:
        NotFoundError: There is no such invocation, and only one was given.
        UsageError: One is no id.
    """
    applied = Applied()
    given = dict(parameters or {})
    ids = [_checked(each) for each in chosen]
    if len(ids) == 1:
        answer = await remote.admin("PATCH", f"/invocations/{ids[0]}/{operation.value}", params=given)
        if answer.status == 404:
            raise NotFoundError(answer.message)
        if answer.is_success:
            new = answer.json().get("new_invocation_id")
            applied.succeeded.append({"old_invocation_id": ids[0], "new_invocation_id": new} if new else ids[0])
        else:
            applied.failed.append({"invocation_id": ids[0], "error": answer.message})
        return applied
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        path = f"/internal/invocations_batch_operations/{operation.value}"
        document = await remote.done("POST", path, {"invocation_ids": part, **given})
        applied.succeeded += document["succeeded"]
        applied.failed += document["failed"]
        if advance is not None:
            advance(len(part))
    return applied


def _checked(invocation_id: str) -> str:
    if not is_invocation_id(invocation_id):
        raise UsageError(f"{invocation_id!r} is no invocation id.", hint=f"One begins with {_ID_BEGINS}.")
    return invocation_id
