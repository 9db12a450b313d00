"""The shop's own rules, and the demo as a whole."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import durably
from durably.client import Client
from durably.testing.server import find_server
from parcels import app as shop_app
from parcels import fulfilment, partners
from parcels.fulfilment import Order
from parcels.store import OutOfStockError, Store

PROJECT = Path(__file__).resolve().parent.parent
ORDER = {
    "order_id": "P-1",
    "customer": "Ada",
    "email": "ada@example.com",
    "item": "brass compass",
    "quantity": 2,
    "card": "4000-0001",
    "postcode": "0158",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A shop with full shelves."""
    store = Store(tmp_path)
    store.create(PROJECT / "stock.csv")
    return store


def effects(store: Store) -> list[str]:
    """The lines of the effects log, or none."""
    return store.effects_log.read_text().splitlines() if store.effects_log.is_file() else []


def test_an_empty_shelf_gives_nothing(store: Store):
    """Goods are taken whole or not at all, and a refusal leaves no effect."""
    assert store.reserve("P-1", "brass compass", 2) == 10_400
    with pytest.raises(OutOfStockError):
        store.reserve("P-2", "brass compass", 2)
    store.release("P-1", "brass compass", 2)
    assert store.reserve("P-2", "brass compass", 3) == 15_600
    assert len(effects(store)) == 3


def test_a_reference_is_paid_once(store: Store):
    """A charge that is repeated with its reference moves money once."""
    for _ in range(2):
        partners.charge(store, "P-1", "4000-0001", 500, "ref-1")
    assert [row["cents"] for row in store.rows("payments")] == [500]
    with pytest.raises(partners.CardDeclinedError):
        partners.charge(store, "P-1", "4000-9999", 500, "ref-2")


def test_the_carrier_answers_the_third_time(store: Store):
    """A slow carrier fails twice without an effect, then prints one label."""
    for _ in range(2):
        with pytest.raises(partners.CarrierUnavailableError):
            partners.print_label(store, "P-1", "28013")
    assert partners.print_label(store, "P-1", "28013") == "LBL-P-1-28013"
    assert len(effects(store)) == 1


@asynccontextmanager
async def visitor(store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """Open the app on this store, with the engine inside, and give a client of it."""
    monkeypatch.setattr(shop_app, "store", store)
    monkeypatch.setattr(fulfilment, "store", store)
    monkeypatch.setattr(fulfilment, "PICKUP", timedelta(0))
    transport = httpx.ASGITransport(shop_app.app)
    async with (
        shop_app.lifespan(shop_app.app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        yield client


async def test_an_order_is_fulfilled_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    """An order that is sent twice is one invocation, and each of its steps has its effect once."""
    async with visitor(store, monkeypatch) as client:
        sent = [await client.post("/orders", json=ORDER) for _ in range(2)]
        assert {answer.status_code for answer in sent} == {202}
        assert len({answer.json()["invocation"] for answer in sent}) == 1
        engine: durably.RestateClient = shop_app.app.state.client
        outcome = await engine.object_call(fulfilment.fulfil, "P-1", Order.model_validate(ORDER), "P-1")
        assert (outcome.status, outcome.note) == ("shipped", "LBL-P-1-0158")
        assert [row["status"] for row in (await client.get("/orders")).json()] == ["shipped"]
        assert (await client.post("/orders", json=ORDER | {"quantity": "many"})).status_code == 422
    assert [json.loads(line)["effect"] for line in effects(store)] == ["reserve", "charge", "label", "mail"]


async def test_what_cannot_be_finished_is_taken_back(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A blocked card ends the order, and its goods are on the shelf again."""
    before = store.rows("stock")
    order = ORDER | {"order_id": "P-2", "card": "4000-9999"}
    async with visitor(store, monkeypatch) as client:
        await client.post("/orders", json=order)
        engine: durably.RestateClient = shop_app.app.state.client
        outcome = await engine.object_call(fulfilment.fulfil, "P-2", Order.model_validate(order), "P-2")
        assert outcome.status == "refused"
        assert (await client.get("/orders/P-2/stage")).json()["stage"] == "refused"
    assert store.rows("stock") == before


async def test_inside_the_app_no_route_runs_handlers(store: Store, monkeypatch: pytest.MonkeyPatch):
    """With the engine in the process, nothing of the service protocol is reachable over HTTP."""
    async with visitor(store, monkeypatch) as client:
        for path in ("/restate/discover", "/restate/invoke/Fulfilment/fulfil"):
            assert (await client.get(path)).status_code == 404
            assert (await client.post(path)).status_code == 404


async def test_a_server_gets_the_order(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The same route sends to a server's ingress, under a key that cannot leave its place in the path."""
    seen: list[httpx.Request] = []

    def ingress(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json={"invocationId": "inv_1", "status": "Accepted"})

    async with (
        visitor(store, monkeypatch) as client,
        httpx.AsyncClient(transport=httpx.MockTransport(ingress), base_url="http://restate.test") as server,
    ):
        monkeypatch.setattr(shop_app.app.state, "client", Client(server))
        answer = await client.post("/orders", json=ORDER | {"order_id": "P/1"})
        assert answer.json()["invocation"] == "inv_1"
    assert [request.url.raw_path for request in seen] == [b"/Fulfilment/P%2F1/fulfil/send"]
    assert seen[0].headers["idempotency-key"] == "P/1"


async def test_one_variable_moves_the_app_to_a_server(monkeypatch: pytest.MonkeyPatch):
    """With the address of a server, the app starts no engine and serves its handlers below the mount."""
    monkeypatch.setenv("PARCELS_RESTATE_URL", "http://restate.test:8080")
    names = runpy.run_path(str(PROJECT / "parcels" / "app.py"))
    async with names["runtime"]() as runtime:
        assert isinstance(runtime, Client)
        assert str(runtime.client.base_url) == "http://restate.test:8080"
    transport = httpx.ASGITransport(names["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        manifest = (await client.get("/restate/discover")).json()
    assert [service["name"] for service in manifest["services"]] == ["Fulfilment"]
    assert {handler["name"] for handler in manifest["services"][0]["handlers"]} == {"fulfil", "stage"}


def run_demo(*arguments: str) -> None:
    """Run the demo as its user does, and let it judge itself."""
    done = subprocess.run(
        [sys.executable, str(PROJECT / "demo.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no step was done twice" in done.stdout


def test_the_demo_ends_well():
    """A shop that is killed in the middle finishes every order, and no step is done twice."""
    run_demo()


def test_the_demo_ends_well_on_a_server():
    """The same app on a Restate Server keeps the same promises."""
    if find_server(PROJECT) is None and os.environ.get("CI") != "true":
        pytest.skip("no restate-server is installed: run make test where npm is")
    run_demo("--server")
