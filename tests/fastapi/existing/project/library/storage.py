"""What the library keeps, and how a request gets at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastapi import Request


class OutOfCopies(Exception):
    """Every copy of a book is lent."""

    def __init__(self, isbn: str) -> None:
        """Remember which."""
        super().__init__(f"every copy of {isbn} is lent")
        self.isbn = isbn


@dataclass
class Shelf:
    """Copies by ISBN, loans by reader, and what was done."""

    copies: dict[str, int] = field(default_factory=lambda: {"978-0": 2, "978-1": 0})
    loans: dict[str, list[str]] = field(default_factory=dict)
    letters: list[str] = field(default_factory=list)
    open_sessions: int = 0


opened: list[Shelf] = []


class Session:
    """One unit of work on the shelf; kept only if it is committed."""

    def __init__(self, shelf: Shelf) -> None:
        """Begin."""
        self.shelf = shelf
        self._lent: list[tuple[str, str]] = []

    def lend(self, reader: str, isbn: str) -> int:
        """Lend a copy; gives how many are left."""
        left = self.shelf.copies.get(isbn, 0) - sum(1 for _, each in self._lent if each == isbn)
        if left <= 0:
            raise OutOfCopies(isbn)
        self._lent.append((reader, isbn))
        return left - 1

    def commit(self) -> None:
        """Keep what was done."""
        for reader, isbn in self._lent:
            self.shelf.copies[isbn] -= 1
            self.shelf.loans.setdefault(reader, []).append(isbn)
        self._lent.clear()


def get_shelf(request: Request) -> Shelf:
    """Give what the lifespan opened."""
    shelf: Shelf = request.app.state.shelf
    return shelf


def get_session() -> Iterator[Session]:
    """Open a session for one request; committed at its end, dropped when it failed."""
    shelf = opened[-1]
    shelf.open_sessions += 1
    session = Session(shelf)
    try:
        yield session
        session.commit()
    finally:
        shelf.open_sessions -= 1
