"""What commands show: tables for people, JSON for programs.

Owns the two streams. Standard output has the result and nothing else; what is said beside it (hints, questions,
progress, errors) goes to standard error, so that `--json` can be piped whatever happens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = ["notes", "progress", "results", "say", "show_json", "show_table", "tell"]

_PIPE_WIDTH: Final = 200
_STYLES: Final = {
    "completed": "green",
    "success": "green",
    "failure": "red",
    "running": "cyan",
    "suspended": "blue",
    "scheduled": "blue",
    "backing-off": "yellow",
    "paused": "red",
}


def results() -> Console:
    """Give the console of results; wide where nobody looks, so that lines can be searched."""
    is_terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, width=None if is_terminal else _PIPE_WIDTH, soft_wrap=False)


def notes() -> Console:
    """Give the console of everything else."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Write a line of the result; `text` is taken as it is."""
    results().print(escape(text), soft_wrap=True)


def tell(text: str) -> None:
    """Write a line beside the result; `text` is taken as it is."""
    notes().print(escape(text))


def show_json(value: Any) -> None:
    """Write the result as JSON."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Write rows for people.

    Args:
        columns: Their headings.
        rows: Cells; None is an empty one.
        empty: What is said, beside the result, where there are none.
    """
    listed = [[_cell(value) for value in row] for row in rows]
    if not listed:
        tell(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in listed:
        table.add_row(*row)
    results().print(table)


@contextmanager
def progress(what: str, total: int) -> Generator[Any]:
    """Show how far long work is, on terminals; gives a function that is told of each step's size."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda step=1: bar.advance(task, step)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return escape(json.dumps(value, ensure_ascii=False))
    text = escape(str(value))
    style = _STYLES.get(text)
    return f"[{style}]{text}[/{style}]" if style else text
