"""Durable endpoints behave the same on every runtime, under every web server, with any number of workers.

One module for all cells: {embedded engine on SQLite, real Restate Server} x {uvicorn on HTTP/1.1, hypercorn and granian
on HTTP/2} x {1, 4 workers}. The last tests of a cell kill it, start it again, and stop it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx
import pytest

from tests.fastapi.servers.cells import BOUND_S, Cell

T = TypeVar("T")

ORDERS = 24
OPEN_CALLS = 6


def eventually(find: Callable[[], T], timeout_s: float = 20) -> T:
    """Ask until there is an answer."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := find()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)
    return found


def fresh(word: str) -> str:
    """Give a name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def result_of(client: httpx.Client, location: str) -> httpx.Response:
    """Fetch a result, as often as it takes."""

    def fetch() -> httpx.Response | None:
        try:
            answer = client.get(location)
        except httpx.TransportError:  # a server that was killed drops its connections
            return None
        return None if answer.status_code in (202, 503) else answer

    return eventually(fetch)


async def test_calls_are_answered(cell: Cell):
    """Concurrent calls get their own results; each step ran once; a repeated key gets the first answer."""
    with cell.async_client() as client:
        async with client:

            async def place(name: str) -> dict[str, Any]:
                answer = await client.post(
                    f"/orders/{name}", json={"sku": "tea", "quantity": 2}, headers={"idempotency-key": name}
                )
                assert answer.status_code == 200, answer.text
                assert answer.headers["x-stamp"] == "seen"
                return answer.json()

            names = [fresh("order") for _ in range(ORDERS)]
            receipts = await asyncio.gather(*(place(name) for name in names))
            assert receipts == [{"order_id": name, "customer": "ada", "total": 14} for name in names]
            assert await place(names[0]) == receipts[0]
    for name in names:
        assert Counter(cell.ledger(name)) == Counter({f"{name} {act}": 1 for act in ("reserve", "charge", "ship")})


def test_a_blocking_endpoint(cell: Cell):
    """A `def` endpoint runs in a thread, with the status of its route."""
    with cell.client() as client:
        name = fresh("blocking")
        answer = client.post(f"/blocking/{name}", json={"sku": "tea", "quantity": 3, "pauses_ms": 5})
    assert (answer.status_code, answer.json()["total"]) == (201, 3)
    assert cell.ledger(name) == [f"{name} reserve", f"{name} charge"]


async def test_one_at_a_time_for_each_key(cell: Cell):
    """Calls with the same key exclude each other over all workers: nothing is added twice or lost."""
    cart = fresh("cart")
    with cell.async_client() as client:
        async with client:
            calls = (client.post(f"/carts/{cart}/items", params={"quantity": 1}) for _ in range(12))
            totals = [answer.json() for answer in await asyncio.gather(*calls)]
    assert sorted(totals) == list(range(1, 13))


def test_failures_have_their_status(cell: Cell):
    """Terminal failures and `HTTPException` arrive with status, detail and headers; wrong input never starts."""
    with cell.client() as client:
        refused = client.post("/refunds", params={"amount": 500})
        assert (refused.status_code, refused.json()) == (402, {"detail": "too much"})
        assert refused.headers["x-limit"] == "100"
        failed = client.post("/refunds", params={"amount": 5})
        assert (failed.status_code, failed.json()) == (451, {"detail": "no refunds"})
        assert client.post("/refunds", params={"amount": "much"}).status_code == 422
        stranger = client.post(f"/orders/{fresh('x')}", json={"sku": "tea"}, headers={"authorization": "me"})
        assert stranger.status_code == 401
        assert client.post(f"/orders/{fresh('x')}", json={"sku": "tea", "quantity": 101}).status_code == 409


def test_results_can_be_fetched_later(cell: Cell):
    """`Prefer: respond-async` answers 202; any worker gives the result later, and none gives a forged one."""
    with cell.client() as client:
        order = {"sku": "tea", "pauses_ms": 50}
        name = fresh("later")
        headers = {"prefer": "respond-async", "idempotency-key": name}
        taken = client.post(f"/orders/{name}", json=order, headers=headers)
        assert taken.status_code == 202
        assert taken.headers["preference-applied"] == "respond-async"
        location = taken.headers["location"]
        receipt = result_of(client, location)
        assert (receipt.status_code, receipt.json()) == (200, {"order_id": name, "customer": "ada", "total": 7})
        forged = location[:-1] + ("a" if location[-1] != "a" else "b")
        assert client.get(forged).status_code == 404


def test_an_answer_from_outside(cell: Cell):
    """A workflow waits for what an ordinary endpoint hands it, by the client; a second call joins the first."""
    name = fresh("approval")
    with cell.client() as client:
        taken = client.post(f"/approvals/{name}", headers={"prefer": "respond-async"})
        assert taken.status_code == 202
        asked = eventually(lambda: cell.ledger(name, "asked"))
        awakeable_id = asked[0].rpartition(" ")[2]
        assert client.post(f"/answers/{awakeable_id}", params={"text": "yes"}).status_code == 200
        assert client.post(f"/approvals/{name}").json() == f"{name}: yes"
        assert result_of(client, taken.headers["location"]).json() == f"{name}: yes"


def test_tasks_in_the_background(cell: Cell):
    """A task runs when the endpoint has answered, and not at all when it failed."""
    kept, dropped = fresh("kept"), fresh("dropped")
    with cell.client() as client:
        assert client.post(f"/letters/{dropped}", params={"fails": True}).status_code == 418
        assert client.post(f"/letters/{kept}").json() == "soon"
    assert eventually(lambda: cell.ledger(kept)) == [f"{kept} dear reader"]
    assert cell.ledger(dropped) == []


def test_routes_of_the_runtime(cell: Cell):
    """Health is public; nobody invokes the embedded engine's handlers over HTTP; a server's calls see no middleware."""
    with cell.client() as client:
        assert client.get("/restate/health").json() == {"status": "ok"}
        invoked = client.post("/restate/invoke/Nothing/here", headers={"x-forwarded-for": "192.0.2.1"})
        if cell.kind.runtime == "embedded":
            assert (invoked.status_code, invoked.headers["x-stamp"]) == (404, "seen")
        else:
            assert invoked.status_code == 401
            assert "x-stamp" not in invoked.headers


def test_one_worker_drives(cell: Cell):
    """With the embedded engine at most one worker drives the file, and with a server none."""
    seen: dict[int, bool] = {}
    for _ in range(12):
        with cell.client() as client:
            facts = client.get("/process").json()
        seen[facts["pid"]] = facts["is_driving"]
    assert sum(seen.values()) <= (1 if cell.kind.runtime == "embedded" else 0)


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_nothing_accepted_is_lost(cell: Cell, how: str):
    """Killed or stopped in the middle, with open calls: it stops in bounded time, and all accepted work is finished.

    No step that was recorded runs again: of each order at most the step that was under way is repeated.
    """
    names = [fresh(how) for _ in range(ORDERS // 2)]
    approvals = [fresh("waits") for _ in range(2)]
    with cell.client() as client:
        headers = {"prefer": "respond-async"}
        order = {"sku": "tea", "pauses_ms": 150}
        places = [client.post(f"/orders/{name}", json=order, headers=headers) for name in names]
        places += [client.post(f"/approvals/{name}", headers=headers) for name in approvals]
        assert {answer.status_code for answer in places} == {202}
        locations = [answer.headers["location"] for answer in places]
        with ExitStack() as open_calls:
            _open_calls(cell, open_calls)
            eventually(lambda: len(cell.ledger("asked")) >= len(approvals) + 1)
            if how == "kill":
                cell.kill()
            else:
                elapsed_s = cell.terminate(BOUND_S + 8)
                print(f"{cell.kind}: {OPEN_CALLS} open calls, SIGTERM to exit {elapsed_s:.1f} s")
                assert elapsed_s < BOUND_S + 4
    cell.start()
    with cell.client() as client:
        for name in approvals:
            asked = eventually(lambda name=name: cell.ledger(name, "asked"))
            client.post(f"/answers/{asked[0].rpartition(' ')[2]}", params={"text": "yes"})
        results = [result_of(client, location).json() for location in locations]
    assert results == [
        *({"order_id": name, "customer": "ada", "total": 7} for name in names),
        *(f"{name}: yes" for name in approvals),
    ]
    for name in names:
        counts = Counter(cell.ledger(name))
        assert set(counts) == {f"{name} {act}" for act in ("reserve", "charge", "ship")}
        assert counts.total() <= 4


def _open_calls(cell: Cell, stack: ExitStack) -> None:
    """Begin calls that nobody answers, and leave them open."""
    for _ in range(OPEN_CALLS):
        client = stack.enter_context(cell.client())
        client.timeout = httpx.Timeout(5, read=0.05)
        try:
            client.post(f"/approvals/{fresh('open')}")
        except httpx.ReadTimeout:
            continue
