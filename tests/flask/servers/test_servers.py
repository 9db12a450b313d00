"""Durable views behave the same on every runtime and under every web server.

One module for all cells: {embedded engine on SQLite, real Restate Server} x {gunicorn with four sync workers, with
threads, with greenlets; uWSGI with four processes, with threads; waitress; flask run; hypercorn on HTTP/2 through the
ASGI layer}. The last test of a cell
kills it, in parts or whole, or stops it, and starts it again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import pytest

from tests.flask.servers.cells import Cell, kill_process

T = TypeVar("T")

ORDERS = 8
NAPS, NAP_S = 100, 5
NAPS_BOUND_S = 25  # one after the other on four workers they would take 125 s
STOP_S = 15


def eventually(find: Callable[[], T | None], timeout_s: float = 30) -> T:
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
    async with cell.async_client() as client:

        async def place(name: str) -> dict[str, Any]:
            answer = await client.post(f"/orders/{name}", json={"quantity": 2}, headers={"idempotency-key": name})
            assert answer.status_code == 201, answer.text
            assert answer.headers.get_list("x-stamp") == ["seen"]
            return answer.json()

        names = [fresh("order") for _ in range(ORDERS)]
        receipts = await asyncio.gather(*(place(name) for name in names))
        assert receipts == [{"order_id": name, "customer": "ada", "total": 14} for name in names]
        assert await place(names[0]) == receipts[0]
    for name in names:
        assert Counter(cell.ledger(name)) == Counter({f"{name} {act}": 1 for act in ("reserve", "charge", "ship")})


async def test_one_at_a_time_for_each_key(cell: Cell):
    """Calls with the same key exclude each other over all workers: nothing is added twice or lost."""
    cart = fresh("cart")
    async with cell.async_client() as client:
        calls = (client.post(f"/carts/{cart}/items", data={"quantity": "1"}) for _ in range(8))
        totals = [int(answer.text) for answer in await asyncio.gather(*calls)]
    assert sorted(totals) == list(range(1, 9))


def test_failures_have_their_status(cell: Cell):
    """Terminal failures and `abort` arrive with their status; who is not let in never starts."""
    with cell.client() as client:
        refused = client.post("/refunds/500")
        assert (refused.status_code, "too much" in refused.text) == (422, True)
        failed = client.post("/refunds/5")
        assert (failed.status_code, "no refunds" in failed.text) == (451, True)
        name = fresh("x")
        assert client.post(f"/orders/{name}", json={}, headers={"authorization": "me"}).status_code == 401
        assert client.post(f"/orders/{name}", json={"quantity": 101}).status_code == 409
    assert cell.ledger(name) == []


def test_results_can_be_fetched_later(cell: Cell):
    """`Prefer: respond-async` answers 202; any worker gives the result later, and none gives a forged one."""
    with cell.client() as client:
        name = fresh("later")
        headers = {"prefer": "respond-async", "idempotency-key": name}
        taken = client.post(f"/orders/{name}", json={"pauses_ms": 50}, headers=headers)
        assert (taken.status_code, taken.headers["preference-applied"]) == (202, "respond-async")
        location = taken.headers["location"]
        receipt = result_of(client, location)
        assert (receipt.status_code, receipt.json()) == (201, {"order_id": name, "customer": "ada", "total": 7})
        forged = location[:-1] + ("a" if location[-1] != "a" else "b")
        assert client.get(forged).status_code == 404


def test_an_answer_from_outside(cell: Cell):
    """A workflow waits for what an ordinary view hands it, by the client; a second call joins the first."""
    name = fresh("approval")
    with cell.client() as client:
        taken = client.post(f"/approvals/{name}", headers={"prefer": "respond-async"})
        assert taken.status_code == 202
        asked = eventually(lambda: cell.ledger(name, "asked"))
        awakeable_id = asked[0].rpartition(" ")[2]
        assert client.post(f"/answers/{awakeable_id}", data={"text": "yes"}).text == "thanks"
        assert client.post(f"/approvals/{name}").text == f"{name}: yes"
        assert result_of(client, taken.headers["location"]).text == f"{name}: yes"


def test_routes_of_the_runtime(cell: Cell):
    """Health is public; nobody invokes the embedded engine's handlers over HTTP; strangers do not invoke others."""
    with cell.client() as client:
        assert client.get("/restate/health").json() == {"status": "ok"}
        invoked = client.post("/restate/invoke/Nothing/here", headers={"x-forwarded-for": "192.0.2.1"})
        refusal = 401 if cell.kind.server != "waitress" else 415  # see its settings
        expected = (404, True) if cell.kind.runtime == "embedded" else (refusal, False)
        assert (invoked.status_code, "x-stamp" in invoked.headers) == expected


async def test_callers_who_wait(cell: Cell):
    """Handlers that wait hold no thread, and their callers no worker: many wait as long as one.

    On four workers without threads a hundred of them, each 5 s; elsewhere fewer, for a moment.
    """
    is_sync = cell.kind.server == "sync" or str(cell.kind) == "embedded-uwsgi"
    count, nap_s = (NAPS, NAP_S) if is_sync else (8, 0.3)
    started_s = time.monotonic()
    async with cell.async_client() as client:
        names = [fresh("nap") for _ in range(count)]
        answers = await asyncio.gather(*(client.post(f"/naps/{each}", params={"seconds": nap_s}) for each in names))
    elapsed_s = time.monotonic() - started_s
    assert [answer.text for answer in answers] == names
    assert elapsed_s < (NAPS_BOUND_S if is_sync else STOP_S)
    print(f"\n{cell.kind}: {count} callers who waited {nap_s} s were answered in {elapsed_s:.1f} s")


def test_nothing_accepted_is_lost(cell: Cell):
    """Workers, the one that drives among them, the first process, or all are killed, or asked to stop.

    All accepted work is finished, and no step that was recorded runs again: of each order at most the steps that were
    under way when something was killed are repeated.
    """
    names = [fresh("order") for _ in range(ORDERS)]
    with cell.client() as client:
        headers = {"prefer": "respond-async"}
        approval = fresh("waits")
        places = [client.post(f"/orders/{name}", json={"pauses_ms": 300}, headers=headers) for name in names]
        places.append(client.post(f"/approvals/{approval}", headers=headers))
        assert {answer.status_code for answer in places} == {202}
    eventually(lambda: cell.ledger(approval, "asked"))
    kills = _kill(cell)
    with cell.client() as client:
        asked = eventually(lambda: cell.ledger(approval, "asked"))

        def answer() -> bool:
            try:
                taken = client.post(f"/answers/{asked[0].rpartition(' ')[2]}", data={"text": "yes"})
            except httpx.TransportError:
                return False
            return taken.status_code == 200

        eventually(answer)
        results = [result_of(client, each.headers["location"]) for each in places]
    assert [each.json() for each in results[:-1]] == [
        {"order_id": name, "customer": "ada", "total": 7} for name in names
    ]
    assert results[-1].text == f"{approval}: yes"
    for name in names:
        counts = Counter(cell.ledger(name))
        assert set(counts) == {f"{name} {act}" for act in ("reserve", "charge", "ship")}
        assert counts.total() <= 3 + kills


def _kill(cell: Cell) -> int:
    """End processes of a cell as fits it, so that it serves again; gives how often work was cut."""
    match cell.kind.server:
        case "sync" | "gevent" | "uwsgi" if cell.kind.runtime == "embedded":
            driving = _driving_worker(cell)
            kill_process(driving)
            others = [each for each in cell.processes()[1:] if each.pid != driving.pid]
            kill_process(others[0])
            cell.kill_master()
            cuts = 3
        case "sync" | "gthread" | "uwsgi" | "uwsgi_threads":
            kill_process(cell.processes()[-1])
            cell.kill_master()
            cuts = 2
        case "waitress" | "hypercorn":
            cell.kill()
            cuts = 1
        case _:
            cell.terminate(STOP_S)
            cuts = 1
    cell.start()
    return cuts


def _driving_worker(cell: Cell) -> Any:
    """Find the worker whose engine drives the file."""

    def find() -> Any:
        with cell.client() as client:
            facts = client.get("/process").json()
        found = [each for each in cell.processes() if facts["is_driving"] and each.pid == facts["pid"]]
        return found[0] if found else None

    return eventually(find)


@pytest.fixture(autouse=True)
def _show_log(cell: Cell, request: pytest.FixtureRequest) -> Any:
    yield
    if request.session.testsfailed:
        print(cell.log()[-3000:])
