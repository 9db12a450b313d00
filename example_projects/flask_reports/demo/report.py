"""What came of it: the table of the demo, and its verdict.

Owns the comparison. What is expected follows from `wishes.csv` alone; what happened is read from the application's
database and from the mail server's log.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.people import Answer, Wish
from demo.places import Place
from demo.story import Outcome

__all__ = ["report"]

STEPS = ("open", "collect", "compare", "write", "drop", "ask 1", "decide", "mail")
BUILT = dict.fromkeys(("open", "collect", "compare", "write", "ask 1", "decide"), 1)
NOTHING_THERE = {"open": 1, "drop": 1}
STATUSES = {"release": "released", "refuse": "refused"}


@dataclass
class Books:
    """The application's database and the mails at the end.

    Attributes:
        counts: By report, how often each step had its effect.
        workers: By report, the processes that have worked on it.
        dropped: By region and month, reports that could not be built.
        statuses: Of all reports.
        repeats: How often a step or a mail came again and was recognised.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    workers: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    dropped: dict[str, str] = field(default_factory=dict[str, str])
    statuses: dict[str, str] = field(default_factory=dict[str, str])
    repeats: int = 0

    def id_of(self, wish: Wish, answer: Answer) -> str:
        """Give the report of a wish; one that could not be built is known by what it was about."""
        return (
            str(answer.content["id"]) if answer.status == 201 else self.dropped.get(f"{wish.region} {wish.month}", "")
        )


def read_books(place: Place) -> Books:
    """Read the database and the mails."""
    books = Books()
    with sqlite3.connect(place.database) as database:
        for subject, name, about, process, repeats in database.execute("SELECT * FROM done_step"):
            books.counts.setdefault(subject, Counter())[name] += 1
            books.workers.setdefault(subject, set()).add(process)
            books.repeats += repeats
            if name == "open" and not database.execute("SELECT 1 FROM report WHERE id = ?", (subject,)).fetchone():
                books.dropped[about] = subject
        books.statuses = dict(database.execute("SELECT id, status FROM report").fetchall())
    database.close()
    for mail in place.mails:
        if mail.is_repeat:
            books.repeats += 1
        elif mail.reference.startswith("report-"):
            books.counts.setdefault(mail.reference.rpartition("-")[2], Counter())["mail"] += 1
    return books


def report(place: Place, outcome: Outcome, console: Console) -> list[str]:
    """Print what happened; give what is not as it must be."""
    books = read_books(place)
    table = Table(
        title="How often each step had its effect", title_justify="left", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    for name in ("report", "about", "asks", "answer"):
        table.add_column(name, no_wrap=True)
    for step in STEPS:
        table.add_column(step, justify="right", min_width=len(step))
    for name in ("answered", "right"):
        table.add_column(name, no_wrap=True)
    wrong: list[str] = []
    for wish in outcome.wishes:
        wrong += _row(wish, outcome, books, table)
    console.print()
    console.print(table)
    after = len(place.mails) - outcome.mails_before
    both = sum(len(processes) > 1 for processes in books.workers.values())
    console.print(
        f"{outcome.mails_before} mails left before the crash and {after} after it; {both} reports were worked on by"
        f" more than one process.\nDone again, because the crash came between an effect and its record, and recognised"
        f" by their key: {books.repeats}."
    )
    if len(books.counts) != len(outcome.wishes):
        wrong.append(f"{len(books.counts)} reports were begun for {len(outcome.wishes)} wishes")
    return wrong


def _row(wish: Wish, outcome: Outcome, books: Books, table: Table) -> list[str]:
    answer, again = outcome.answers[wish.name], outcome.again[wish.name]
    report_id = books.id_of(wish, answer)
    counts = books.counts.get(report_id, Counter[str]())
    expected = (BUILT | ({"mail": 1} if wish.decision == "release" else {})) if wish.decision else NOTHING_THERE
    status = books.statuses.get(report_id, "")
    found = (answer.status, dict(counts), status)
    is_right = found == (201 if wish.decision else 404, expected, STATUSES.get(wish.decision, ""))
    is_right = is_right and (again.status, again.content) == (answer.status, answer.content)
    table.add_row(
        wish.name,
        f"{wish.region} {wish.month}",
        "polls" if wish.how == "poll" else "waits",
        f"{answer.status} {status or 'no sales'}",
        *(str(counts[step] or "·") for step in STEPS),
        ("before" if answer.at < outcome.crashed_at else "after") + (", cut" if answer.cuts else ""),
        "[green]yes[/]" if is_right else "[red]NO[/]",
    )
    return [] if is_right else [f"{wish.name}: {found}, and again {again.status}"]
