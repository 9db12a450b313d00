"""What came of it: the tables of the demo, and its verdict.

Owns the comparison. What is expected follows from `orders.csv` alone; what happened is read from the log of the parties
outside and from the shop's database.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from demo.customers import Answer, Wish
from demo.processes import Place
from outside.effects import Effect
from shop.database import sessions
from shop.models import Account, Order, Product, StockMove

__all__ = ["Outcome", "report"]

STEPS = ("reserve", "payment", "mail", "review", "release", "refund")
SHIPPED = {"reserve": 1, "payment": 1, "mail": 1, "review": 1}
EXPECTED: dict[str, tuple[int, dict[str, int]]] = {
    "A-07": (402, {"reserve": 1, "release": 1}),
    "B-03": (409, {}),
    "D-01": (422, {"reserve": 1, "payment": 1, "release": 1, "refund": 1}),
    "D-02": (402, {"reserve": 1, "release": 1}),
}
WELCOMED = 4  # the fifth lives at an address that no mail reaches
_PREFIXES = {"shipped": "mail", "review": "review"}


@dataclass
class Outcome:
    """What the customers saw.

    Attributes:
        wishes: What they wanted.
        answers: By name of the wish, what they were told.
        again: What they were told when they sent the same once more at the end.
        refunded_order: The order that was given back.
        refund: What its buyer was told.
        cart: The shared cart before it was checked out.
        cart_orders: What the checkout said.
        effects_before: Everything outside until the crash.
        crashed_at: When that was.
    """

    wishes: list[Wish]
    answers: dict[str, Answer]
    again: dict[str, Answer] = field(default_factory=dict[str, Answer])
    refunded_order: Answer = field(default_factory=Answer)
    refund: Answer = field(default_factory=Answer)
    cart: dict[str, Any] = field(default_factory=dict[str, Any])
    cart_orders: Answer = field(default_factory=Answer)
    effects_before: list[Effect] = field(default_factory=list[Effect])
    crashed_at: float = 0.0

    def shipped_numbers(self) -> set[str]:
        """The numbers of all orders that ended well."""
        receipts = [answer.content for answer in self.answers.values() if answer.status == 201]
        receipts += [self.refunded_order.content, *self.cart_orders.content]
        return {receipt["number"] for receipt in receipts}


@dataclass(frozen=True)
class Books:
    """The shop's database at the end, and what happened outside.

    Attributes:
        orders: All orders, with the names of their buyers.
        counts: By number of the order, how often each step had its effect.
        repeats: By number, how often something was asked for once more and recognised.
        stock: What is left, by product.
        effects: Everything that happened outside.
    """

    orders: list[tuple[Order, str]]
    counts: dict[str, Counter[str]]
    repeats: Counter[str]
    stock: dict[str, int]
    effects: list[Effect]

    def number_of(self, wish: Wish, answer: Answer) -> str:
        """Find the order of a wish; an order that did not end well is known by who wanted how much of what."""
        if answer.status == 201:
            return str(answer.content["number"])
        wanted = (wish.buyer, wish.sku, wish.quantity)
        found = [order.number for order, buyer in self.orders if (buyer, order.sku, order.quantity) == wanted]
        return found[0] if found else ""


def read_books(place: Place) -> Books:
    """Read the database and the log of effects."""
    counts: dict[str, Counter[str]] = {}
    repeats: Counter[str] = Counter()
    effects = list(place.effects.read())
    with sessions(place.database)() as db:
        orders = [(order, buyer) for order, buyer in db.execute(select(Order, Account.name).join(Account)).all()]
        for move in db.scalars(select(StockMove)):
            counts.setdefault(move.order_number, Counter())[move.kind] += 1
        stock = {product.sku: product.in_stock for product in db.scalars(select(Product))}
    for effect in effects:
        prefix, _, rest = effect.key.partition("-")
        number, kind = (rest, _PREFIXES[prefix]) if prefix in _PREFIXES else (effect.key, effect.kind)
        if effect.is_repeat:
            repeats[number] += 1
        else:
            counts.setdefault(number, Counter())[kind] += 1
    return Books(orders, counts, repeats, stock, effects)


def report(place: Place, outcome: Outcome, console: Console) -> list[str]:
    """Print what happened; give what is not as it must be."""
    books = read_books(place)
    console.print()
    wrong = _orders(outcome, books, console)
    return [*wrong, *_others(outcome, books, console), *_sums(outcome, books, console)]


def _orders(outcome: Outcome, books: Books, console: Console) -> list[str]:
    table = _table("How often each step had its effect")
    for name in ("order", "wants", "asks", "answer"):
        table.add_column(name, no_wrap=True, max_width=25)
    for step in STEPS:
        table.add_column(step, justify="right", min_width=len(step))
    for name in ("answered", "right"):
        table.add_column(name, no_wrap=True)
    wrong: list[str] = []
    for wish in outcome.wishes:
        answer, again = outcome.answers[wish.name], outcome.again[wish.name]
        number = books.number_of(wish, answer)
        counts = books.counts.get(number, Counter[str]())
        status, expected = EXPECTED.get(wish.name, (201, SHIPPED))
        is_right = (answer.status, dict(+counts)) == (status, expected)
        is_right = is_right and (again.status, again.content) == (answer.status, answer.content)
        if not is_right:
            told = f"{answer.status} {answer.text}, then {again.status} {again.text}"
            wrong.append(f"{wish.name}: {told}, with {dict(counts)}")
        table.add_row(
            wish.name,
            f"{wish.quantity} {wish.sku}",
            "polls" if wish.how == "poll" else "waits",
            f"{answer.status} {answer.text}",
            *(str(counts[step] or "·") for step in STEPS),
            ("before" if answer.at < outcome.crashed_at else "after") + (", cut" if answer.cuts else ""),
            _yes(is_right),
        )
    console.print(table)
    return wrong


def _others(outcome: Outcome, books: Books, console: Console) -> list[str]:
    kinds = Counter(effect.key for effect in books.effects if not effect.is_repeat)
    number = outcome.refunded_order.content["number"]
    receipts = outcome.cart_orders.content
    refund = (outcome.refund.status, kinds[f"refund-{number}"])
    lines, expected_lines = outcome.cart["lines"], {"mug": 10, "notebook": 10}
    steps = [dict(books.counts[each["number"]]) for each in receipts]
    reviews = _reminders(kinds)
    expected_reviews = dict.fromkeys(outcome.shipped_numbers(), 1)
    welcomes = sum(times for key, times in kinds.items() if key.startswith("welcome-"))
    rows: list[tuple[str, str, object, object, str]] = [
        ("cart", "20 things put in at once, half of them sent again", lines, expected_lines, str(lines)),
        ("its checkout", "an order for each line, each step once", steps, [SHIPPED] * 2, f"{len(receipts)} orders"),
        ("approval", "a refund waits for the staff, money moves once", refund, (200, 1), f"{refund[1]} refund"),
        ("reminders", "one for each shipped order", reviews, expected_reviews, f"{len(reviews)} mails"),
        ("background tasks", "a welcome for each account", welcomes, WELCOMED, f"{welcomes} mails"),
    ]
    table = _table("What else was under way")
    for name in ("what", "is right when", "found", "right"):
        table.add_column(name)
    wrong: list[str] = []
    for what, means, found, expected, shown in rows:
        is_right = found == expected
        table.add_row(what, means, shown, _yes(is_right))
        if not is_right:
            wrong.append(f"{what}: {found} instead of {expected}")
    console.print(table)
    return wrong


def _reminders(kinds: Counter[str]) -> dict[str, int]:
    return {key.removeprefix("review-"): times for key, times in kinds.items() if key.startswith("review-")}


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)


def _yes(is_right: bool) -> str:
    return "[green]yes[/]" if is_right else "[red]NO[/]"


def _sums(outcome: Outcome, books: Books, console: Console) -> list[str]:
    sold: Counter[str] = Counter()
    due = 0
    for order, _ in books.orders:
        if order.status == "shipped":
            due += order.cents
        if order.status in ("shipped", "refunded"):
            sold[order.sku] += order.quantity
    moved = Counter[str]()
    for effect in books.effects:
        if not effect.is_repeat:
            moved[effect.kind] += effect.cents
    paid = moved["payment"] - moved["refund"]
    before = len([effect for effect in outcome.effects_before if not effect.is_repeat])
    after = len([effect for effect in books.effects if not effect.is_repeat]) - before
    repeats = sum(books.repeats.values())
    console.print(
        f"Goods for {due / 100:.2f} were sold, {paid / 100:.2f} were paid. Outside, {before} effects happened"
        f" before the crash and {after} after it.\nAsked for twice, because the crash came between an effect and"
        f" its record, and recognised by their key: {repeats}."
    )
    wrong = [] if paid == due else [f"{paid} cents were paid for goods of {due}"]
    left = {"mug": 60, "notebook": 80, "compass": 4, "blanket": 25, "lantern": 30}
    wrong += [f"{books.stock[sku]} of {sku} are left" for sku in left if books.stock[sku] != left[sku] - sold[sku]]
    stuck = [order.number for order, _ in books.orders if order.status == "reserved"]
    return [*wrong, *(f"{number} is unfinished" for number in stuck)]
