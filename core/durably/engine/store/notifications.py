"""Which handles of a journal have notifications, as the writer remembers it.

Owns an answer to `Reader.notified` that costs no read and no index. A step asks whether it has a result already, so
an index would be a second page in every commit. Here a completion costs four bytes: services number completions
without gaps, so that a list by number is dense; whatever is not dense stands in a mapping.

    a notification is kept as `(index + 1) * 2 + failed`; 0 is none, and comparing two compares their indexes
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection
from typing import Final

from durably.engine.records import Handle

__all__ = ["Notifications"]

_SLACK: Final = 64  # numbers that a service may be ahead of its journal, beside two for each entry
_ROOM: Final = array("i", bytes(4 * 16))  # a list grows by so many numbers


class Notifications:
    """The notifications of one journal, from its beginning; they are added in the order of their indexes."""

    __slots__ = ("_completions", "_others")

    def __init__(self) -> None:
        """Begin with an empty journal."""
        self._completions = array("i")
        self._others: dict[Handle, list[int]] | None = None

    def __len__(self) -> int:
        """Give how many numbers there is room for, about: what this costs in memory, at four bytes each."""
        return len(self._completions) + (0 if self._others is None else 50 * len(self._others))

    def add(self, index: int, handle: Handle, failed: int) -> None:
        """Take in the next notification.

        Args:
            index: Where it stands in the journal.
            handle: Of what.
            failed: 1 for a failure, else 0.
        """
        mark = (index << 1) + 2 + failed
        if type(handle) is int and 0 < handle <= 2 * index + _SLACK:
            completions = self._completions
            while handle >= len(completions):
                completions.extend(_ROOM)
            if not completions[handle]:
                completions[handle] = mark
                return
        if self._others is None:
            self._others = {}
        self._others.setdefault(handle, []).append(mark)

    def find(self, handles: Collection[Handle], start: int) -> dict[Handle, bool]:
        """Tell of each handle that has one whether its first notification from `start` on is a failure."""
        floor = (start << 1) + 2
        completions, others = self._completions, self._others
        size = len(completions)
        found: dict[Handle, bool] = {}
        for handle in handles:
            if type(handle) is int and 0 < handle < size and (mark := completions[handle]) >= floor:
                found[handle] = mark & 1 == 1
            elif others is not None and (marks := others.get(handle)) is not None:
                position = bisect_left(marks, floor)
                if position < len(marks):
                    found[handle] = marks[position] & 1 == 1
        return found
