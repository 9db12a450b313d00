"""The shop as a web app: what it answers, whether or not anything of it is durable."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi.testclient import TestClient

from outside.running import Outside

MUGS = {"sku": "mug", "quantity": 2, "card": "4000-0001"}


def shelf(client: TestClient, sku: str) -> int:
    """How many of a product there are."""
    return {row["sku"]: row["in_stock"] for row in client.get("/products").json()}[sku]


def test_signing_up_sends_one_welcome(client: TestClient, world: Outside, sign_in: Callable[..., dict[str, str]]):
    """An account gets its mail after the answer, and a taken name gets a 409 and no mail."""
    sign_in("ada")
    again = client.post("/accounts", json={"name": "ada", "email": "x@y.example", "password": "12345678"})
    assert again.status_code == 409
    deadline = time.monotonic() + 10
    while not world.effects("mail") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [effect.about for effect in world.effects("mail")] == ["ada@home.example: Welcome"]


def test_a_wrong_password_gives_no_token(client: TestClient, ada: dict[str, str]):
    """Neither a wrong password nor a token of somebody else opens anything."""
    assert client.post("/token", data={"username": "ada", "password": "wrong"}).status_code == 401
    assert client.get("/me", headers={"authorization": "Bearer e30.e30.e30"}).status_code == 401
    assert client.get("/me", headers=ada).json()["name"] == "ada"


def test_an_order_is_paid_and_mailed(client: TestClient, ada: dict[str, str], world: Outside):
    """An order takes goods off the shelf, money from the card, and sends a mail."""
    before = shelf(client, "mug")
    answer = client.post("/orders", json=MUGS, headers=ada)
    assert answer.status_code == 201
    assert answer.json()["cents"] == 2900
    assert shelf(client, "mug") == before - 2
    assert [effect.cents for effect in world.effects("payment")] == [2900]
    assert "ada@home.example: Your order" in [effect.about for effect in world.effects("mail")]
    assert [row["status"] for row in client.get("/orders", headers=ada).json()] == ["shipped"]


def test_an_order_needs_a_buyer(client: TestClient, world: Outside):
    """Nobody orders without signing in, and nothing happens."""
    assert client.post("/orders", json=MUGS).status_code == 401
    assert world.effects("payment") == []


def test_what_is_no_order_is_refused(client: TestClient, ada: dict[str, str]):
    """A body that does not validate gets FastAPI's 422 with the place of the error."""
    answer = client.post("/orders", json=MUGS | {"quantity": 0}, headers=ada)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "quantity"]


def test_an_empty_shelf_refuses(client: TestClient, ada: dict[str, str], world: Outside):
    """What is not there cannot be ordered, and costs nothing."""
    answer = client.post("/orders", json=MUGS | {"sku": "compass", "quantity": 5}, headers=ada)
    assert (answer.status_code, answer.json()) == (409, {"detail": "fewer than 5 of 'compass' are left"})
    assert world.effects("payment") == []


def test_a_declined_card_is_402(client: TestClient, ada: dict[str, str], world: Outside):
    """The bank's no reaches the buyer."""
    answer = client.post("/orders", json=MUGS | {"card": "4000-0402"}, headers=ada)
    assert (answer.status_code, answer.json()) == (402, {"detail": "card 4000-0402 is declined"})
    assert world.effects("payment") == []
