"""What happens in the demo, in order."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from rich.console import Console

from demo.people import Habit, Person
from demo.place import Place, until

__all__ = ["Story"]

ORDERS_BEFORE_THE_CRASH = 4
_LAST_MAILS = {
    "welcome": "select id from accounts_signup where state = 'confirmed'",
    "shipped": "select number from orders_order",
    "credit": "select number from orders_order where state = 'returned'",
}


@dataclass
class Story:
    """The demo while it runs.

    Attributes:
        place: Where it happens.
        people: Everybody, in the order in which they came.
        done_before: What the history held when everything was killed.
        mails_before: How many mails had been sent then.
    """

    place: Place
    console: Console
    people: list[Person] = field(default_factory=list[Person])
    done_before: int = 0
    mails_before: int = 0

    def tell(self) -> None:
        """Run it to its end."""
        place, restarted = self.place, threading.Event()
        place.prepare()
        first = place.start()
        self.console.print(
            f"Django runs as process {first}: gunicorn with {place.workers} workers, the engine inside, nothing beside."
        )

        def new(name: str, habit: Habit, *orders: tuple[str, int], gives_back: bool = False) -> Person:
            person = Person(place, name, habit, restarted, orders, gives_back)
            self.people.append(person)
            return person

        with ThreadPoolExecutor(32) as threads:
            lives: list[Future[None]] = []

            def begin(*people: Person) -> None:
                lives.extend(threads.submit(person.live) for person in people)

            begin(
                new("ada", Habit.QUICK, ("mug", 2), ("lantern", 1), gives_back=True),
                new("bela", Habit.QUICK, ("mug", 3), ("compass", 3)),
                new("chen", Habit.QUICK, ("lantern", 2), ("lantern", 3)),
                new("dora", Habit.QUICK, ("compass", 5), ("mug", 1)),
                *(new(name, Habit.NEVER) for name in ("emil", "fay", "gus")),
            )
            until("orders", lambda: self.place.count("orders_order") >= ORDERS_BEFORE_THE_CRASH)
            late = [new(name, Habit.LATE, ("mug", 1)) for name in ("hana", "ivo", "june", "kofi")]
            begin(*late)
            until("their sign-ups", lambda: place.count("accounts_signup") >= len(self.people) - 1)
            begin(*(new(name, Habit.QUICK) for name in ("lena", "mats")))
            self.crash()
            begin(*(new(name, Habit.QUICK, ("mug", 1)) for name in ("nora", "olaf")))
            second = place.start()
            restarted.set()
            self.console.print(f"Started again as process {second}.")
            for life in lives:
                life.result()
        self.console.print(
            "Everybody has done what they wanted to; now the week of those who never open the link passes."
        )
        until("everything to be finished", self.is_finished)

    def crash(self) -> None:
        """Kill everything, and say what was under way."""
        place = self.place
        place.kill()
        self.done_before, self.mails_before = place.count("history_entry"), len(place.mails())
        unsent = place.count("durably_outboxmessage")
        waiting = place.count("accounts_signup where state in ('received', 'waiting')")
        packed = place.count("orders_order where state = 'placed'")
        self.console.print(
            f"kill -9, all of it: {waiting} sign-ups wait for their link, {packed} orders are being packed,"
            f" {unsent} messages stand in the outbox."
        )

    def is_finished(self) -> bool:
        """Whether every sign-up and every order has come to its end, with its last mail."""
        place = self.place
        if place.count("accounts_signup where state in ('received', 'waiting')"):
            return False
        if place.count("orders_order where state = 'placed'") or place.count("durably_outboxmessage"):
            return False
        keys = {mail.key for mail in place.mails()}
        return all(
            f"{kind}-{uuid.UUID(key)}" in keys for kind, query in _LAST_MAILS.items() for (key,) in place.rows(query)
        )
