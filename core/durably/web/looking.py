"""Tools that import an application to look at it, and adapters that would start with the import.

Owns the agreement between both: while a tool imports, an adapter that starts its runtime on import leaves that to the
tool, and one that finds its services only later is asked to find them once the import is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Looked", "look_later", "looking", "start_on_import"]

Action = Callable[[], object]


@dataclass(slots=True)
class Looked:
    """What adapters left to the tool.

    Attributes:
        starts: Start what would have started with the import; for a tool that serves.
        looks: Have services found and links made, without starting anything; called when the import is done.
    """

    starts: list[Action] = field(default_factory=list[Action])
    looks: list[Action] = field(default_factory=list[Action])


_looked: Looked | None = None


@contextmanager
def looking() -> Generator[Looked, None, None]:
    """Import applications in here, to look at them; the looks are called at the end.

    Raises:
        DurablyError: What an adapter found cannot work.
    """
    global _looked
    before, _looked = _looked, Looked()
    try:
        yield _looked
        for look in _looked.looks:
            look()
    finally:
        _looked = before


def start_on_import(start: Action) -> None:
    """Start now; later, or never, if a tool is looking."""
    if _looked is None:
        start()
    else:
        _looked.starts.append(start)


def look_later(look: Action) -> None:
    """Have `look` called when the import is done, if a tool is looking."""
    if _looked is not None:
        _looked.looks.append(look)
