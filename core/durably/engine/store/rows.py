"""Rows of the tables, to and from records.

Owns how a value stands in a column. Parameters of statements that run for every event are integers,
texts and bytearrays only: the driver spends about a microsecond on each NULL, bool or bytes, and
nothing on those. -1 and "" stand for None there; see `schema/0001_create.sql`.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any, Final

from durably.engine.records import (
    AttemptFailure,
    Failure,
    Handle,
    InboxItem,
    Invocation,
    InvokedBy,
    JournalEntry,
    Result,
    StateEdit,
    Status,
    TargetKind,
)

__all__ = [
    "FIRST_PROGRESS_COLUMN",
    "INDEXED_COLUMNS",
    "INDEX_BITS",
    "JOURNAL_LENGTH_COLUMN",
    "MAX_INDEX",
    "Row",
    "edit_of",
    "entry_of",
    "fixed_columns",
    "inbox_item_of",
    "invocation_of",
    "progress_columns",
    "result_columns",
    "result_of",
    "text_of_edit",
]

Row = tuple[Any, ...]
"""What SQLite gives or takes."""

INDEX_BITS: Final = 20
"""Bits of an entry's position that are its index; the others are the invocation's number."""

MAX_INDEX: Final = (1 << INDEX_BITS) - 1

FIRST_PROGRESS_COLUMN: Final = 17
"""Where, in a row of the statement `invocation`, that begins which `progress_columns` gives."""

INDEXED_COLUMNS: Final = 3
"""How many of `progress_columns` stand in indexes: the first ones."""

JOURNAL_LENGTH_COLUMN: Final = 7
"""Which of `progress_columns` counts the entries."""

_SIGNED: Final = 1 << 63
_UNSIGNED: Final = 1 << 64
_WAITS: Final = 1
_HAS_CHILDREN: Final = 2
_PAUSE_REQUESTED: Final = 4
_STATUS: Final = {status.value: status for status in Status}
_KIND: Final = {kind.value: kind for kind in TargetKind}
_INVOKED_BY: Final = {source.value: source for source in InvokedBy}


def fixed_columns(invocation: Invocation) -> Row:
    """Give what is written once of an invocation, in the order of `insert_invocation`."""
    seed = invocation.random_seed
    return (
        invocation.id,
        invocation.service,
        invocation.key,
        invocation.handler,
        invocation.kind.value,
        invocation.idempotency_key,
        invocation.scope,
        invocation.limit_key,
        invocation.invoked_by.value,
        invocation.parent_id,
        invocation.parent_target,
        invocation.created_at,
        seed if seed < _SIGNED else seed - _UNSIGNED,  # SQLite's integers are signed
        invocation.journal_retention_ms,
        invocation.completion_retention_ms,
        invocation.scheduled_start_at,
    )


def progress_columns(invocation: Invocation) -> Row:
    """Give what changes of an invocation, in the order of `update_invocation`."""
    return (
        invocation.status._value_,  # `value` is a Python property, and this runs for every event
        -1 if invocation.expires_at is None else invocation.expires_at,
        -1 if invocation.journal_expires_at is None else invocation.journal_expires_at,
        invocation.modified_at,
        -1 if invocation.inboxed_at is None else invocation.inboxed_at,
        -1 if invocation.running_at is None else invocation.running_at,
        -1 if invocation.completed_at is None else invocation.completed_at,
        invocation.journal_length,
        invocation.command_count,
        invocation.deployment_id or "",
        -1 if invocation.protocol_version is None else int(invocation.protocol_version),
        _WAITS * invocation.waits
        + _HAS_CHILDREN * invocation.has_children
        + _PAUSE_REQUESTED * invocation.pause_requested,
        invocation.attempt,
        invocation.attempt_deployment_id or "",
        -1 if invocation.attempt_version is None else int(invocation.attempt_version),
        invocation.attempt_server or "",
        -1 if invocation.attempt_started_at is None else invocation.attempt_started_at,
        invocation.retry_count,
        invocation.retries_since_entry,
        invocation.last_entry_at,
        -1 if invocation.next_retry_at is None else invocation.next_retry_at,
        _text_of_details(invocation),
        invocation.attempt_known_entries,
    )


def invocation_of(row: Row) -> Invocation:
    """Build an invocation from a row of the statement `invocation`, its number left out."""
    progress = row[FIRST_PROGRESS_COLUMN - 1 :]
    flags: int = progress[11]
    suspended_on, awaiting_on, failure = _details_of(progress[21])
    return Invocation(
        row[0],
        row[1],
        row[2],
        row[3],
        _KIND[row[4]],
        row[5],
        row[6],
        row[7],
        _INVOKED_BY[row[8]],
        row[9],
        row[10],
        row[11],
        row[12] if row[12] >= 0 else row[12] + _UNSIGNED,
        row[13],
        row[14],
        row[15],
        _STATUS[progress[0]],
        progress[3],
        _time(progress[4]),
        _time(progress[5]),
        _time(progress[6]),
        progress[7],
        progress[8],
        progress[9] or None,
        _time(progress[10]),
        flags & _WAITS != 0,
        flags & _HAS_CHILDREN != 0,
        suspended_on,
        awaiting_on,
        flags & _PAUSE_REQUESTED != 0,
        _time(progress[1]),
        _time(progress[2]),
        progress[12],
        progress[13] or None,
        _time(progress[14]),
        progress[15] or None,
        _time(progress[16]),
        progress[17],
        progress[18],
        progress[19],
        _time(progress[20]),
        failure,
        progress[22],
    )


def entry_of(row: tuple[int, int, bytes, Handle | None, int, int]) -> JournalEntry:
    """Build an entry from a row of the statement `entries`."""
    index, type, payload, handle, failed, appended_at = row
    return JournalEntry(index, type, payload, handle, failed == 1, appended_at)


def result_columns(result: Result) -> tuple[bytes | None, str | None]:
    """Give value and failure of a result."""
    if isinstance(result, Failure):
        return None, json.dumps([result.code, result.message, result.metadata])
    return result, None


def result_of(value: bytes | None, failure: str | None) -> Result:
    """Build a result from value and failure."""
    if failure is None:
        return value
    code, message, metadata = json.loads(failure)
    return Failure(code, message, tuple((name, text) for name, text in metadata))


def text_of_edit(edit: StateEdit | None) -> str | None:
    """Write an edit of the state as JSON."""
    if edit is None:
        return None
    state = [[b64encode(name).decode(), b64encode(value).decode()] for name, value in edit.new_state.items()]
    return json.dumps({"state": state, "version": edit.version})


def edit_of(text: str | None) -> StateEdit | None:
    """Read an edit of the state."""
    if text is None:
        return None
    edit = json.loads(text)
    return StateEdit({b64decode(name): b64decode(value) for name, value in edit["state"]}, edit["version"])


def inbox_item_of(row: Row) -> InboxItem:
    """Build an item from a row of the statement `inbox_head`."""
    sequence, service, key, invocation_id, edit, created_at = row
    return InboxItem(sequence, service, key, invocation_id, edit_of(edit), created_at)


def _time(value: int) -> int | None:
    return None if value < 0 else value


def _text_of_details(invocation: Invocation) -> str:
    suspended_on, awaiting_on, failure = invocation.suspended_on, invocation.awaiting_on, invocation.last_failure
    if suspended_on is None and awaiting_on is None and failure is None:
        return ""
    details: dict[str, object] = {}
    if suspended_on is not None:
        details["suspended_on"] = suspended_on.hex()
    if awaiting_on is not None:
        details["awaiting_on"] = awaiting_on.hex()
    if failure is not None:
        details["failure"] = asdict(failure)
    return json.dumps(details)


def _details_of(text: str) -> tuple[bytes | None, bytes | None, AttemptFailure | None]:
    """Read what is known besides the columns.

    Where it is damaged nothing is known: then the next attempt begins at once, whatever it waited for, and suspends
    again. An error would hold up the work of others that is read together with it.
    """
    if not text:
        return None, None, None
    try:
        details = json.loads(text)
        suspended_on, awaiting_on, failure = (details.get(name) for name in ("suspended_on", "awaiting_on", "failure"))
        return (
            None if suspended_on is None else bytes.fromhex(suspended_on),
            None if awaiting_on is None else bytes.fromhex(awaiting_on),
            None if failure is None else AttemptFailure(**failure),
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None, None, AttemptFailure(500, "What was stored of the last attempt is damaged.")
