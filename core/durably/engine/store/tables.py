"""Tables in memory: rows by key, indexes over them, and a log that undoes.

Owns what `durably.engine.store.memory` is made of. It knows nothing of the engine's rows.

A table has one way in, `put`, and one way out, `delete`; both keep the indexes and write the undo
log. Undoing plays the log backwards.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Index", "Table", "UndoLog"]

KeyT = TypeVar("KeyT", bound=Hashable)
RowT = TypeVar("RowT")


class UndoLog:
    """What has to be called, last first, to get back to where the log was begun."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: Callable[[], object]) -> None:
        """Remember how to undo what was just done."""
        self._steps.append(step)

    def undo(self, length: int = 0) -> None:
        """Undo until `length` steps are left."""
        while len(self._steps) > length:
            self._steps.pop()()

    def clear(self) -> None:
        """Forget everything: what was done stays."""
        self._steps.clear()


@dataclass(frozen=True, slots=True)
class Index(Generic[RowT]):
    """An order in which rows are looked up.

    Attributes:
        group: What rows are looked up by; None leaves a row out of the index.
        order: Sorts the rows of a group; the last item makes it unique.
    """

    group: Callable[[RowT], Hashable | None]
    order: Callable[[RowT], tuple[Any, ...]]


class Table(Generic[KeyT, RowT]):
    """Rows of one kind by key, with indexes.

    Args:
        log: Where changes are noted.
        key: The key of a row.
        indexes: By name.
    """

    def __init__(self, log: UndoLog, key: Callable[[RowT], KeyT], **indexes: Index[RowT]) -> None:
        self._log = log
        self._key = key
        self._rows: dict[KeyT, RowT] = {}
        self._indexes = [(index, self._new_groups()) for index in indexes.values()]
        self._groups = dict(zip(indexes, (groups for _, groups in self._indexes), strict=True))

    @staticmethod
    def _new_groups() -> dict[Hashable, list[tuple[tuple[Any, ...], KeyT]]]:
        return {}

    def __iter__(self) -> Iterator[RowT]:
        return iter(self._rows.values())

    def get(self, key: KeyT) -> RowT | None:
        """Give the row with this key."""
        return self._rows.get(key)

    def put(self, row: RowT) -> None:
        """Store a row, in place of the one with its key."""
        key = self._key(row)
        old = self._rows.get(key)
        self._replace(key, old, row)
        self._log.add(lambda: self._replace(key, row, old))

    def delete(self, key: KeyT) -> None:
        """Delete the row with this key, if there is one."""
        old = self._rows.get(key)
        if old is not None:
            self._replace(key, old, None)
            self._log.add(lambda: self._replace(key, None, old))

    def find(self, index: str, group: Hashable) -> Iterator[RowT]:
        """Give the rows of a group in the order of the index. Do not change the table while iterating."""
        rows = self._rows
        return (rows[key] for _, key in self._groups[index].get(group, ()))

    def first(self, index: str, group: Hashable) -> RowT | None:
        """Give the first row of a group."""
        return next(self.find(index, group), None)

    def delete_group(self, index: str, group: Hashable) -> None:
        """Delete all rows of a group."""
        for row in list(self.find(index, group)):
            self.delete(self._key(row))

    def _replace(self, key: KeyT, old: RowT | None, new: RowT | None) -> None:
        for index, groups in self._indexes:
            if old is not None and (group := index.group(old)) is not None:
                entries = groups[group]
                del entries[bisect_left(entries, (index.order(old),))]
                if not entries:
                    del groups[group]
            if new is not None and (group := index.group(new)) is not None:
                insort(groups.setdefault(group, []), (index.order(new), key))
        if new is not None:
            self._rows[key] = new
        else:
            del self._rows[key]
