"""The shop's own rules, and the demo as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from durably.testing.server import find_server
from parcels import app as shop_app
from parcels import partners
from parcels.store import OutOfStockError, Store

PROJECT = Path(__file__).resolve().parent.parent
ORDER = {
    "order_id": "P/1",
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
    """Open the app on this store, and give a client of it."""
    monkeypatch.setattr(shop_app, "store", store)
    transport = httpx.ASGITransport(shop_app.app)
    async with (
        shop_app.lifespan(shop_app.app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        yield client


async def test_an_order_is_handed_to_restate(store: Store, monkeypatch: pytest.MonkeyPatch):
    """POST /orders sends the order under its own key, which cannot leave its place in the path."""
    seen: list[httpx.Request] = []

    def ingress(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json={"invocationId": "inv_1"})

    async with visitor(store, monkeypatch) as client:
        await shop_app.app.state.ingress.aclose()
        shop_app.app.state.ingress = httpx.AsyncClient(
            transport=httpx.MockTransport(ingress), base_url="http://restate.test"
        )
        assert (await client.post("/orders", json=ORDER)).status_code == 202
        assert (await client.get("/orders")).json()[0]["status"] == "accepted"
        assert (await client.post("/orders", json=ORDER | {"quantity": "many"})).status_code == 422
    assert [request.url.raw_path for request in seen] == [b"/Fulfilment/P%2F1/fulfil/send"]
    assert seen[0].headers["idempotency-key"] == "P/1"


async def test_the_mount_answers_discovery(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The service is found below the prefix at which the app mounted it."""
    async with visitor(store, monkeypatch) as client:
        manifest = (await client.get("/restate/discover")).json()
    assert [service["name"] for service in manifest["services"]] == ["Fulfilment"]
    assert {handler["name"] for handler in manifest["services"][0]["handlers"]} == {"fulfil", "stage"}


def test_the_demo_ends_well():
    """A shop that is killed in the middle finishes every order, and no step is done twice."""
    if find_server(PROJECT) is None and os.environ.get("CI") != "true":
        pytest.skip("no restate-server is installed: run make test where npm is")
    done = subprocess.run(
        [sys.executable, str(PROJECT / "demo.py")], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no step was done twice" in done.stdout
