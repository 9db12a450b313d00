"""The people who use the shop. They know HTTP and nothing else: when a request is cut, they send it again."""

from __future__ import annotations

import asyncio
import csv
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from demo.processes import PATIENCE_SECONDS

__all__ = ["Answer", "Customers", "Wish", "read_wishes"]

_AGAIN_AFTER_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """A line of `orders.csv`.

    Attributes:
        name: How the demo calls it, and its idempotency key.
        buyer: Who orders.
        sku: What.
        quantity: How many.
        card: What it is paid with.
        how: `wait` for the answer, or ask to answer at once and `poll`.
    """

    name: str
    buyer: str
    sku: str
    quantity: int
    card: str
    how: str

    @property
    def body(self) -> dict[str, object]:
        """What is sent to the shop."""
        return {"sku": self.sku, "quantity": self.quantity, "card": self.card}


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

    @property
    def text(self) -> str:
        """The body in few words."""
        content = self.content
        if isinstance(content, dict) and "detail" in content:
            return str(content["detail"])
        return str(content["number"]) if isinstance(content, dict) and "number" in content else str(content)


def read_wishes() -> list[Wish]:
    """Read `orders.csv`."""
    with Path(__file__).with_name("orders.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return [Wish(row["name"], row["buyer"], row["sku"], int(row["quantity"]), row["card"], row["how"]) for row in rows]


@dataclass
class Customers:
    """All of them, behind one HTTP client.

    Attributes:
        http: The client.
        headers: By name, how each of them signs a request.
    """

    http: httpx.AsyncClient
    headers: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def sign_up(self, name: str, host: str = "home.example") -> None:
        """Open an account and sign in."""
        account = {"name": name, "email": f"{name}@{host}", "password": "correct horse"}
        (await self.http.post("/accounts", json=account)).raise_for_status()
        form = {"username": name, "password": "correct horse"}
        token = (await self.http.post("/token", data=form)).raise_for_status().json()["access_token"]
        self.headers[name] = {"authorization": f"Bearer {token}"}

    async def order(self, wish: Wish, answer: Answer) -> Answer:
        """Order something, and fill in the answer when there is one."""
        return await self.send(wish.buyer, "/orders", wish.body, wish.name, answer, polls=wish.how == "poll")

    async def send(
        self, who: str, path: str, body: object, key: str, answer: Answer | None = None, *, polls: bool = False
    ) -> Answer:
        """Send a request, the same one again when it is cut, until it is answered.

        Args:
            who: Sends it.
            path: Of the route.
            body: As JSON.
            key: The idempotency key.
            answer: To fill in; None makes one.
            polls: Ask for an answer at once, and look for the result later.
        """
        answer = answer or Answer()
        headers = self.headers[who] | {"idempotency-key": key} | ({"prefer": "respond-async"} if polls else {})
        request = self.http.build_request("POST", path, json=body, headers=headers)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                response = await self.http.send(request)
            except httpx.TransportError:
                answer.cuts += 1
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
                continue
            if response.status_code == httpx.codes.ACCEPTED:
                request = self.http.build_request("GET", response.headers.get("location", request.url))
            if response.status_code in (httpx.codes.ACCEPTED, httpx.codes.SERVICE_UNAVAILABLE):
                await asyncio.sleep(_AGAIN_AFTER_SECONDS)
                continue
            answer.status, answer.content, answer.at = response.status_code, response.json(), time.monotonic()
            return answer
        raise TimeoutError(f"{who} got no answer to {path} ({key})")
