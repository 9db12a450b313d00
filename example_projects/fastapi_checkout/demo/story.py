"""What happens in the demo, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from rich.console import Console

from demo.customers import Answer, Customers, Wish, read_wishes
from demo.processes import PATIENCE_SECONDS, Place
from demo.report import Outcome
from shop.hire import hire

__all__ = ["tell"]

BETWEEN_ORDERS_SECONDS = 0.07
ANSWERED_BEFORE_THE_CRASH = 5
PAID_BEFORE_THE_CRASH = 12
TABS = 5  # that put something into one cart at once, before the crash and again after it
BUYERS = {"ada": "home.example", "bela": "home.example", "chen": "home.example", "dora": "nowhere.example"}


@dataclass
class Story:
    """The demo while it runs."""

    place: Place
    customers: Customers
    console: Console
    wishes: list[Wish]
    outcome: Outcome

    async def begin(self) -> None:
        """Start everything, and let the buyers in."""
        self.place.start_outside()
        first = self.place.start_shop()
        how = "with the engine inside, and nothing beside"
        if self.place.server is not None:
            how = f"with a Restate Server as process {self.place.server.pid}"
        self.console.print(f"The shop runs as process {first}: uvicorn and FastAPI, {how}.")
        await asyncio.gather(*[self.customers.sign_up(name, host) for name, host in BUYERS.items()])
        await self.customers.sign_up("sten")
        hire("sten", self.place.database)
        self.console.print(
            f"{len(BUYERS)} buyers and one of the staff signed up; their welcome mails are background tasks."
        )

    async def all_orders(self) -> None:
        """Have all orders placed, one shortly after the other; ends when each is answered."""
        answers = self.outcome.answers
        async with asyncio.TaskGroup() as group:
            for wish in self.wishes:
                group.create_task(self.customers.order(wish, answers[wish.name]))
                await asyncio.sleep(BETWEEN_ORDERS_SECONDS)

    async def fill_cart(self, when: str) -> None:
        """Put the same mug and two notebooks into one cart from several tabs at once."""
        keys = [(f"tab-{when}-{number}", sku) for number in range(TABS) for sku in ("mug", "notebook")]
        await asyncio.gather(
            *[
                self.customers.send("ada", "/carts/gift/lines", {"sku": sku, "quantity": 1}, f"{key}-{sku}")
                for key, sku in keys
            ]
        )

    async def refund(self) -> None:
        """Order something, wait for it, and want the money back."""
        wish = Wish("R-01", "bela", "lantern", 1, "4000-0901", "wait")
        order = await self.customers.order(wish, self.outcome.refunded_order)
        path = f"/orders/{order.content['number']}/refund"
        await self.customers.send("bela", path, {"reason": "too bright"}, "refund-1", self.outcome.refund, polls=True)

    async def approve(self) -> None:
        """Let the staff decide on what is on its list."""
        staff = self.customers.headers["sten"]
        wishes = (await self.customers.http.get("/refunds", headers=staff)).raise_for_status().json()
        for wish in wishes:
            path = f"/refunds/{wish['order_number']}/decision"
            answer = await self.customers.http.post(path, json={"approved": True}, headers=staff)
            answer.raise_for_status()

    def answered(self) -> int:
        """How many orders have their answer."""
        return sum(answer.status > 0 for answer in self.outcome.answers.values())

    def is_time(self) -> bool:
        """Whether enough is done, and enough is under way, for a crash to be interesting."""
        paid = sum(effect.kind == "payment" for effect in self.place.effects.read())
        return self.answered() >= ANSWERED_BEFORE_THE_CRASH and paid >= PAID_BEFORE_THE_CRASH

    async def crash(self) -> None:
        """Kill the shop and start it again."""
        pid = self.place.shop.running.pid if self.place.shop.running else 0
        self.place.shop.kill()
        self.outcome.crashed_at = time.monotonic()
        self.outcome.effects_before = list(self.place.effects.read())
        done, all_of_them = self.answered(), len(self.wishes)
        self.console.print(
            f"[red]kill -9[/] {pid}: the shop is gone. {done} of {all_of_them} orders are answered, the others are on"
            " their way;\n  a cart is half full, a refund waits for the staff, reminders are due in some seconds."
        )
        second = await asyncio.to_thread(self.place.start_shop)
        self.console.print(f"The shop is back as process {second}. Customers whose request was cut send it again.")

    async def run(self) -> Outcome:
        """Tell all of it."""
        await self.begin()
        refund = asyncio.ensure_future(self.refund())
        orders = asyncio.ensure_future(self.all_orders())
        await self.fill_cart("before")
        await until("enough orders to be under way", self.is_time)
        wishes = self.place.directory / "shop.db"
        await until("the refund to wait", lambda: wishes.is_file() and self.outcome.refunded_order.status > 0)
        await self.crash()
        await asyncio.gather(self.fill_cart("after"), self.fill_cart("before"))
        cart = await self.customers.http.get("/carts/gift", headers=self.customers.headers["ada"])
        self.outcome.cart = cart.raise_for_status().json()
        self.outcome.cart_orders = await self.customers.send(
            "ada", "/carts/gift/checkout", {"card": "4000-0801"}, "gift-checkout"
        )
        while not refund.done():
            await self.approve()
            await asyncio.wait([refund], timeout=0.2)
        await refund
        await orders
        again = [self.customers.order(wish, Answer()) for wish in self.wishes]
        self.outcome.again = dict(zip(self.outcome.answers, await asyncio.gather(*again), strict=True))
        shipped = self.outcome.shipped_numbers()
        await until("the reminders", lambda: shipped <= self.reminded())
        return self.outcome

    def reminded(self) -> set[str]:
        """The orders whose buyers were asked for a review."""
        mails = [effect.key for effect in self.place.effects.read() if effect.kind == "mail"]
        return {key.removeprefix("review-") for key in mails if key.startswith("review-")}


async def until(what: str, holds: Callable[[], bool]) -> None:
    """Ask again and again until it holds.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:.0f} seconds for {what}")
        await asyncio.sleep(0.02)


async def tell(place: Place, http: httpx.AsyncClient, console: Console) -> Outcome:
    """Run the story at a place."""
    wishes = read_wishes()
    outcome = Outcome(wishes, {wish.name: Answer() for wish in wishes})
    return await Story(place, Customers(http), console, wishes, outcome).run()
