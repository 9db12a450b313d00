"""The people who use the application. They know HTTP: when a request is cut, they send it again."""

from __future__ import annotations

import asyncio
import csv
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.places import PATIENCE_SECONDS

__all__ = ["Answer", "People", "Wish", "read_wishes"]

_AGAIN_AFTER_SECONDS = 0.1
_PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True)
class Wish:
    """A line of `wishes.csv`.

    Attributes:
        name: How the demo calls it, and its idempotency key.
        who: Wants it.
        month: Of the report.
        region: Of the report.
        how: `wait` for the answer, or ask to answer at once and `poll`.
        decision: `release` or `refuse`; empty where there is nothing to report.
    """

    name: str
    who: str
    month: str
    region: str
    how: str
    decision: str


@dataclass(slots=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status, 0 while there is none.
        content: The body.
        cuts: How many requests for it ended without an answer.
        at: When it came, on the clock of `time.monotonic`.
    """

    status: int = 0
    content: Any = None
    cuts: int = 0
    at: float = 0.0


def read_wishes() -> list[Wish]:
    """Read `wishes.csv`."""
    with Path(__file__).with_name("wishes.csv").open(newline="", encoding="utf-8") as lines:
        return [Wish(**row) for row in csv.DictReader(lines)]


@dataclass
class People:
    """All of them, each with a session.

    Attributes:
        url: Of the application.
        sessions: By name, their HTTP clients with the cookie.
    """

    url: str
    sessions: dict[str, httpx.AsyncClient] = field(default_factory=dict[str, httpx.AsyncClient])

    async def sign_up(self, name: str) -> None:
        """Open an account, and log in."""
        session = httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)
        self.sessions[name] = session
        form = {"name": name, "email": f"{name}@home.example", "password": _PASSWORD}
        (await session.post("/auth/register", data=form)).raise_for_status()
        (await session.post("/auth/login", data=form)).raise_for_status()

    async def leave(self) -> None:
        """Close the connections."""
        for session in self.sessions.values():
            await session.aclose()

    async def ask(self, wish: Wish, answer: Answer) -> Answer:
        """Have a report built; the same request again when it is cut, until it is answered."""
        body = {"month": wish.month, "region": wish.region}
        return await self.send(wish.who, "/reports", body, wish.name, answer, polls=wish.how == "poll")

    async def send(
        self, who: str, path: str, body: object, key: str, answer: Answer | None = None, *, polls: bool = False
    ) -> Answer:
        """Send a request until it is answered, with an idempotency key; a caller who polls asks for a 202."""
        answer, session = answer or Answer(), self.sessions[who]
        headers = {"idempotency-key": key} | ({"prefer": "respond-async"} if polls else {})
        request = session.build_request("POST", path, json=body, headers=headers)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                response = await session.send(request)
            except httpx.TransportError:
                answer.cuts += 1
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
                continue
            if response.status_code == httpx.codes.ACCEPTED and "location" in response.headers:
                request = session.build_request("GET", response.headers["location"])
            is_later = response.status_code == httpx.codes.ACCEPTED and path == "/reports"
            if is_later or response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
                continue
            answer.status, answer.content, answer.at = response.status_code, response.json(), time.monotonic()
            return answer
        raise TimeoutError(f"{who} got no answer to {path} ({key})")
