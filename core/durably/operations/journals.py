"""The journal of one invocation, read in parts that no runtime refuses.

Owns how much is asked for at once. What entries mean is the business of `timelines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from durably.operations.connections import Remote
from durably.operations.invocations import is_invocation_id, quoted
from durably.operations.timelines import DEFAULT_CHARS, Line, read_timeline

__all__ = ["Journal", "read_journal"]

_PART_BYTES: Final = 8 * 1024 * 1024
_MOST_BYTES: Final = 24 * 1024 * 1024  # of one entry; in an answer it is hexadecimal, and that has its limit


@dataclass(frozen=True, slots=True)
class Journal:
    """What an invocation did.

    Attributes:
        lines: In the order of the journal; empty where it was not kept.
        is_cut: Whether it goes on after these.
    """

    lines: list[Line]
    is_cut: bool


async def read_journal(
    remote: Remote, invocation_id: str, *, most_entries: int | None = None, most_chars: int = DEFAULT_CHARS
) -> Journal:
    """Read the journal of an invocation; empty for one that does not exist.

    Args:
        remote: The runtime.
        invocation_id: Whose.
        most_entries: How many entries are read from the beginning; None reads all.
        most_chars: How much of each value is kept.
    """
    if not is_invocation_id(invocation_id):
        return Journal([], is_cut=False)
    where = f"FROM sys_journal WHERE id = {quoted(invocation_id)}"
    limit = "" if most_entries is None else f" LIMIT {most_entries + 1}"
    rows = await remote.query(f"SELECT index, entry_type, appended_at, raw_length {where} ORDER BY index{limit}")
    is_cut = most_entries is not None and len(rows) > most_entries
    rows = rows[:most_entries]
    for first, last in _parts(rows):
        span = f"index >= {rows[first]['index']} AND index <= {rows[last]['index']} AND raw_length <= {_MOST_BYTES}"
        read = await remote.query(f"SELECT index, raw {where} AND {span}")
        payloads = {row["index"]: row.get("raw", "") for row in read}
        for row in rows[first : last + 1]:
            if row["index"] in payloads:
                row["raw"] = payloads[row["index"]]
    return Journal(read_timeline(rows, most_chars=most_chars), is_cut)


def _parts(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Divide rows into spans whose payloads are together not too large."""
    parts: list[tuple[int, int]] = []
    start, size = 0, 0
    for number, row in enumerate(rows):
        length = int(row.get("raw_length") or 0)
        if number > start and size + length > _PART_BYTES:
            parts.append((start, number - 1))
            start, size = number, 0
        size += length
    if rows:
        parts.append((start, len(rows) - 1))
    return parts
