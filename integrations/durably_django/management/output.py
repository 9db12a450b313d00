"""What management commands write, and how they end.

Owns tables for people and errors with exit codes; the codes are those of the command line `durably`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.core.management.base import CommandError

from durably.cli.exits import code_of
from durably.errors import DurablyError
from durably_django.operating import advice

__all__ = ["failed", "or_fail", "table"]

ResultT = TypeVar("ResultT")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write rows below their headings, set in columns; None is an empty cell."""
    lines = [list(columns), *([("" if cell is None else str(cell)).replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def failed(error: DurablyError) -> CommandError:
    """Make an error readable, with the exit code of its kind."""
    hint = advice(error)
    return CommandError(f"{error.message}\n{hint}" if hint else error.message, returncode=int(code_of(error)))


def or_fail(ask: Callable[..., ResultT], *arguments: Any) -> ResultT:
    """Call something; its errors end the command.

    Raises:
        CommandError: It failed.
    """
    try:
        return ask(*arguments)
    except DurablyError as error:
        raise failed(error) from error
