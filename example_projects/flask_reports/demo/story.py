"""What happens in the demo, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from rich.console import Console

from demo.people import Answer, People, Wish, read_wishes
from demo.places import PATIENCE_SECONDS, Place

__all__ = ["REGIONS", "Outcome", "Story"]

BETWEEN_WISHES_SECONDS = 0.08
ANSWERED_BEFORE_THE_CRASH = 5
MAILED_BEFORE_THE_CRASH = 1
EVERY_SECONDS = 0.5
REGIONS = {"north": "ada", "south": "bela", "west": "chen"}


@dataclass
class Outcome:
    """What people saw.

    Attributes:
        wishes: What they wanted.
        answers: By name of the wish, what they were told.
        again: What they were told when they sent the same once more at the end.
        decided: The reports that were decided on, with the decision.
        subscriptions: By region, the id.
        crashed_at: When the application was killed.
        mails_before: How many mails there were until then.
    """

    wishes: list[Wish] = field(default_factory=read_wishes)
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    again: dict[str, Answer] = field(default_factory=dict[str, Answer])
    decided: dict[str, str] = field(default_factory=dict[str, str])
    subscriptions: dict[str, str] = field(default_factory=dict[str, str])
    crashed_at: float = 0.0
    mails_before: int = 0

    def due_mails(self) -> set[str]:
        """The references of all mails that subscribers must get."""
        answered = {wish.name: self.answers[wish.name].content for wish in self.wishes if wish.decision == "release"}
        reports = [content for content in answered.values() if content]
        return {f"report-{self.subscriptions[each['region']]}-{each['id']}" for each in reports}


class Story:
    """The demo while it runs."""

    def __init__(self, place: Place, console: Console) -> None:
        """Begin at a place."""
        self.outcome = Outcome()
        self._place = place
        self._console = console
        self._people = People(place.url)

    async def tell(self) -> None:
        """Tell all of it."""
        self.outcome.answers = {wish.name: Answer() for wish in self.outcome.wishes}
        await self._begin()
        wishes = asyncio.ensure_future(self._all_wishes())
        approvals = asyncio.ensure_future(self._approve())
        try:
            await until("enough to be under way", self._is_time, wishes)
            await self._crash()
            await wishes
            again = [self._people.ask(wish, Answer()) for wish in self.outcome.wishes]
            self.outcome.again = dict(zip(self.outcome.answers, await asyncio.gather(*again), strict=True))
            await approvals
            await until("the mails", lambda: self.outcome.due_mails() <= {mail.reference for mail in self._place.mails})
        finally:
            for task in (wishes, approvals):
                task.cancel()
            await asyncio.gather(wishes, approvals, return_exceptions=True)
            await self._people.leave()

    async def _begin(self) -> None:
        self._place.start_postoffice()
        await asyncio.to_thread(self._place.command, "init")
        pid = await asyncio.to_thread(self._place.start_app)
        how = "with the engine in one of them, and nothing beside"
        if self._place.server is not None:
            how = f"with a Restate Server as process {self._place.server.pid}"
        self._console.print(f"gunicorn runs as process {pid} with {self._place.workers} sync workers, {how}.")
        await asyncio.gather(*[self._people.sign_up(name) for name in (*REGIONS.values(), "cleo")])
        await asyncio.to_thread(self._place.command, "hire", "cleo")
        for region, name in REGIONS.items():
            body = {"region": region, "every_seconds": EVERY_SECONDS}
            answer = await self._people.send(name, "/subscriptions", body, f"subscription-{region}")
            self.outcome.subscriptions[region] = answer.content["id"]
        self._console.print(
            f"Three people subscribed to their regions: what was released is mailed every {EVERY_SECONDS} seconds."
        )

    async def _all_wishes(self) -> None:
        """Have all reports built, one begun shortly after the other."""
        begun: list[asyncio.Future[Answer]] = []
        for wish in self.outcome.wishes:
            begun.append(asyncio.ensure_future(self._people.ask(wish, self.outcome.answers[wish.name])))
            await asyncio.sleep(BETWEEN_WISHES_SECONDS)
        await asyncio.gather(*begun)

    async def _approve(self) -> None:
        """Decide on reports as they come; before the crash on every second one, so that workflows are left waiting."""
        while len(self.outcome.decided) < sum(bool(wish.decision) for wish in self.outcome.wishes):
            for number, wish in enumerate(self.outcome.wishes):
                content = self.outcome.answers[wish.name].content
                is_late = number % 2 == 1 and not self.outcome.crashed_at
                if not wish.decision or not content or is_late or content["id"] in self.outcome.decided:
                    continue
                await self._decide(content["id"], wish)
            await asyncio.sleep(0.05)

    async def _decide(self, report_id: str, wish: Wish) -> None:
        path, body = f"/reports/{report_id}/decision", {"approved": wish.decision == "release"}
        try:
            answer = await self._people.sessions["cleo"].post(path, json=body)
        except httpx.TransportError:
            return  # it may have arrived: the next time tells
        if answer.status_code in (httpx.codes.ACCEPTED, httpx.codes.CONFLICT):
            self.outcome.decided[report_id] = wish.decision

    def _answered(self) -> int:
        return sum(answer.status > 0 for answer in self.outcome.answers.values())

    def _mailed(self) -> int:
        return sum(mail.reference.startswith("report-") for mail in self._place.mails)

    def _is_time(self) -> bool:
        """Whether enough is done, and enough is under way, for a crash to be interesting."""
        return self._answered() >= ANSWERED_BEFORE_THE_CRASH and self._mailed() >= MAILED_BEFORE_THE_CRASH

    async def _crash(self) -> None:
        """Kill gunicorn and all its workers, and start it again."""
        pid = self._place.app.running.pid if self._place.app.running else 0
        self._place.app.kill()
        self.outcome.crashed_at, self.outcome.mails_before = time.monotonic(), len(self._place.mails)
        self._console.print(
            f"[red]kill -9[/] {pid} and its workers. {self._answered()} of {len(self.outcome.wishes)} reports are"
            f" built, {len(self.outcome.decided)} decided on, {self._mailed()} mailed; the others are on their way."
        )
        pid = await asyncio.to_thread(self._place.start_app)
        self._console.print(f"gunicorn is back as process {pid}. People whose request was cut send it again.")


async def until(what: str, holds: Callable[[], bool], *needed: asyncio.Future[None]) -> None:
    """Ask again and again until it holds.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        for task in needed:
            if task.done():
                task.result()
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_SECONDS:.0f} seconds for {what}")
        await asyncio.sleep(0.02)
