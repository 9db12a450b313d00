"""Invocations and journals as admin pages and management commands show them.

Owns the words, and how much of a payload is shown. Nothing here is markup: templates escape whatever stands in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from durably.operations.journals import Journal
from durably.operations.timelines import Line
from durably.operations.times import duration, time_of

__all__ = ["MOST_CHARS", "MOST_ENTRIES", "ShownInvocation", "ShownJournal", "ShownLine", "show_journal"]

MOST_CHARS: Final = 4000
MOST_ENTRIES: Final = 500
_NOTE_CHARS: Final = 120
_RESULTS: Final = {"success": "succeeded", "failure": "failed"}


class ShownInvocation:
    """An invocation, from a row with `INVOCATION_FIELDS`."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        """Read the row."""
        self.id: str = row["id"]
        self.target: str = row["target"]
        self.service: str = row["target_service_name"]
        self.handler: str = row["target_handler_name"]
        self.key: str | None = row["target_service_key"]
        self.status: str = row["status"]
        self.state: str = _RESULTS.get(row["completion_result"] or "", self.status)
        self.failure: str | None = row["completion_failure"]
        self.created_at: datetime | None = time_of(row["created_at"])
        self.modified_at: datetime | None = time_of(row["modified_at"])
        self.starts_at: datetime | None = time_of(row["scheduled_start_at"])
        self.completed_at: datetime | None = time_of(row["completed_at"])
        self.invoked_by: str | None = row["invoked_by"]
        self.invoked_by_id: str | None = row["invoked_by_id"]
        self.idempotency_key: str | None = row["idempotency_key"]
        self.deployment: str | None = row["pinned_deployment_id"]
        self.attempts: int | None = row["retry_count"]
        self.next_retry_at: datetime | None = time_of(row["next_retry_at"])
        self.last_failure: str | None = row["last_failure"]
        self.journal_size: int | None = row["journal_size"]

    @property
    def is_completed(self) -> bool:
        """Whether it has a result."""
        return self.status == "completed"

    @property
    def took(self) -> str | None:
        """From the beginning to the end."""
        if self.created_at is None or self.completed_at is None:
            return None
        return duration((self.completed_at - self.created_at).total_seconds() * 1000)

    @property
    def note(self) -> str:
        """What went wrong, in one line."""
        lines = ((self.failure if self.is_completed else self.last_failure) or "").splitlines()
        text = lines[0] if lines else ""
        return text if len(text) <= _NOTE_CHARS else text[:_NOTE_CHARS] + "…"


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line of the time line.

    Attributes:
        line: What was read.
        what: The entry, without what stands in `callee`.
        since: From the first entry.
        took: From the command to its result; None where there is none.
        callee: The invocation that it started, or None.
        is_above: Whether its value is shown apart, as the input or the output.
    """

    line: Line
    what: str
    since: str | None
    took: str | None
    callee: str | None
    is_above: bool


@dataclass(frozen=True, slots=True)
class ShownJournal:
    """A journal.

    Attributes:
        lines: The time line.
        is_cut: Whether there are more entries.
        input: What the handler was given; None where it was not kept.
        output: What it gave; None where there is none, or not yet.
    """

    lines: list[ShownLine]
    is_cut: bool
    input: str | None
    output: str | None


def show_journal(journal: Journal) -> ShownJournal:
    """Make a journal readable."""
    began = next((line.at for line in journal.lines if line.at is not None), None)
    first = next((line for line in journal.lines if line.kind == "input"), None)
    last = next((line for line in reversed(journal.lines) if line.kind == "output"), None)
    return ShownJournal(
        [_shown(line, began) for line in journal.lines],
        journal.is_cut,
        None if first is None else _readable(first.result),
        None if last is None or last.failure is not None else _readable(last.result),
    )


def _shown(line: Line, began: datetime | None) -> ShownLine:
    since = None if began is None or line.at is None else f"+{duration((line.at - began).total_seconds() * 1000)}"
    took = None if line.took_ms is None else duration(line.took_ms)
    what = line.what if line.callee is None else line.what.removesuffix(f" as {line.callee}")
    if line.kind == "sleep":
        what += " UTC"
    return ShownLine(line, what, since, took, line.callee, line.kind in ("input", "output"))


def _readable(text: str) -> str:
    """Set JSON in lines; leave everything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
