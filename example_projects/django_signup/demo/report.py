"""What came of it: the tables of the demo, and its verdict.

Owns the comparison. What is expected follows from what people did; what happened is read from the mails and from the
project's database, where each step that changes something leaves a row.
"""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from demo.people import Browser, Habit, Person
from demo.place import STAFF
from demo.story import Story

__all__ = ["report"]

_CRASHES = 1
_STOCK = {"mug": 200, "lantern": 60, "compass": 4}
_STEPS = ("created", "link", "remind 1", "remind 2", "activated", "removed", "welcome")
_ORDER_STEPS = ("invoice", "shipped", "told", "returned", "credit")
_CONFIRMED = dict.fromkeys(("created", "link", "activated", "welcome"), 1)
_EXPIRED = dict.fromkeys(("created", "link", "remind 1", "remind 2", "removed"), 1)
_SHIPPED = dict.fromkeys(("invoice", "shipped", "told"), 1)
_RETURNED = _SHIPPED | dict.fromkeys(("returned", "credit"), 1)
_MAILS = {"confirm": "link", "remind-1": "remind 1", "remind-2": "remind 2", "shipped": "told"}
_KEY_CHARS = 36


class Books:
    """What was done.

    Attributes:
        counts: By sign-up or order, how often each step had its effect.
        repeats: By sign-up or order, how often a step was begun once more and recognised.
    """

    def __init__(self, story: Story) -> None:
        """Read the database and the mails."""
        self.counts: dict[str, Counter[str]] = {}
        self.repeats: Counter[str] = Counter()
        for subject, what, repeats in story.place.rows("select subject, what, repeats from history_entry"):
            self._add(subject, what.removeprefix("account "))
            self.repeats[subject] += repeats
        seen: set[str] = set()
        for mail in story.place.mails():
            kind, subject = mail.key[: -_KEY_CHARS - 1], mail.key[-_KEY_CHARS:]
            if mail.key in seen:
                self.repeats[subject] += 1  # a mail server knows the `Message-ID`
            else:
                self._add(subject, _MAILS.get(kind, kind))
            seen.add(mail.key)

    def _add(self, subject: str, step: str) -> None:
        self.counts.setdefault(subject, Counter())[step] += 1

    @property
    def effects(self) -> int:
        """How many effects there were."""
        return sum(count.total() for count in self.counts.values())


def report(story: Story, console: Console) -> list[str]:
    """Print what happened; give what is not as it must be."""
    books = Books(story)
    console.print()
    return [*_sign_ups(story, books, console), *_orders(story, books, console), *_others(story, books, console)]


def _sign_ups(story: Story, books: Books, console: Console) -> list[str]:
    table = _table("Sign-ups: how often each step had its effect", ("who", "does", "state"), _STEPS)
    rows = {
        name: (key, state) for key, name, state in story.place.rows("select id, username, state from accounts_signup")
    }
    users = dict(story.place.rows("select username, is_active from auth_user"))
    wrong: list[str] = []
    for person in story.people:
        stored, state = rows.get(person.name, ("0" * 32, "none"))
        key = str(uuid.UUID(stored))
        counts = books.counts.get(key, Counter[str]())
        is_right = _is_right(person, state, users.get(person.name), dict(counts)) and books.repeats[key] <= _CRASHES
        if not is_right:
            wrong.append(
                f"{person.name}: {state}, {users.get(person.name)}, {dict(counts)}, {books.repeats[key]} repeats"
            )
        cells = (person.name, person.habit.value + (", too late" if person.was_gone else ""), state)
        _add_row(table, cells, _STEPS, counts, is_right)
    console.print(table)
    return wrong


def _is_right(person: Person, state: str, is_active: int | None, counts: dict[str, int]) -> bool:
    if person.habit is Habit.NEVER or person.was_gone:
        return (state, is_active, counts) == ("expired", None, _EXPIRED)
    reminders = [counts.pop(name, 0) for name in ("remind 1", "remind 2")]  # as many as came before the link was opened
    return (state, is_active, counts) == ("confirmed", 1, _CONFIRMED) and reminders in ([0, 0], [1, 0], [1, 1])


def _orders(story: Story, books: Books, console: Console) -> list[str]:
    table = _table("Orders: how often each step had its effect", ("who", "wants", "state"), _ORDER_STEPS)
    query = (
        "select number, username, product_id, quantity, state from orders_order"
        " join auth_user on auth_user.id = buyer_id order by placed_at"
    )
    wrong: list[str] = []
    placed: Counter[str] = Counter()
    for stored, buyer, sku, quantity, state in story.place.rows(query):
        key = str(uuid.UUID(stored))
        placed[buyer] += 1
        counts = books.counts.get(key, Counter[str]())
        expected = {"shipped": _SHIPPED, "returned": _RETURNED}.get(state)
        is_right = dict(counts) == expected and books.repeats[key] <= _CRASHES
        if not is_right:
            wrong.append(f"{quantity} {sku} for {buyer}: {state}, {dict(counts)}, {books.repeats[key]} repeats")
        _add_row(table, (buyer, f"{quantity} {sku}", state), _ORDER_STEPS, counts, is_right)
    console.print(table)
    for person in story.people:
        wanted = 0 if person.was_gone else len(person.orders) - person.refused
        if placed[person.name] != wanted:
            wrong.append(f"{person.name} has {placed[person.name]} orders instead of {wanted}")
    return wrong


def _others(story: Story, books: Books, console: Console) -> list[str]:
    place = story.place
    sold = dict.fromkeys(_STOCK, 0) | dict(
        place.rows("select product_id, sum(quantity) from orders_order where state = 'shipped' group by product_id")
    )
    left = dict(place.rows("select sku, in_stock from orders_product"))
    refused = sum(person.refused for person in story.people)
    cuts = sum(person.browser.cuts for person in story.people)
    before, repeats = story.done_before + story.mails_before, books.repeats.total()
    console.print(
        f"{before} effects happened before the crash and {books.effects - before} after it; {cuts} requests were cut.\n"
        f"Begun twice, because the crash came between an effect and its record, and recognised: {repeats}.\n"
        f"Orders that the shelf was too empty for: {refused}, rolled back with their messages."
    )
    seen = _seen_by_staff(story)
    console.print(f"The staff sees {seen} sign-ups at /admin/accounts/signup/.")
    wrong = [f"{left[sku]} of {sku} are left" for sku in _STOCK if left[sku] != _STOCK[sku] - sold[sku]]
    hopeless = sum(("compass", 5) in person.orders and not person.was_gone for person in story.people)
    if refused != hopeless:
        wrong.append(f"{refused} orders were refused instead of {hopeless}")
    if seen != len(story.people):
        wrong.append(f"the staff sees {seen} sign-ups of {len(story.people)}")
    return wrong


def _seen_by_staff(story: Story) -> int:
    browser = Browser(story.place.url)
    if not browser.sign_in(*STAFF, path="/admin/login/"):
        return 0
    return browser.get("/admin/accounts/signup/").text.count('class="field-email"')


def _table(title: str, names: tuple[str, ...], steps: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names:
        table.add_column(name, no_wrap=True)
    for step in steps:
        table.add_column(step, justify="right", no_wrap=True)
    table.add_column("right")
    return table


def _add_row(table: Table, cells: tuple[str, ...], steps: tuple[str, ...], counts: Any, is_right: bool) -> None:
    verdict = "[green]yes[/]" if is_right else "[red]NO[/]"
    table.add_row(*cells, *(str(counts[step] or "·") for step in steps), verdict)
