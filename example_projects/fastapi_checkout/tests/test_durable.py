"""What durability adds to the shop."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi.testclient import TestClient

from outside.running import Outside
from shop.hire import hire
from shop.settings import Settings

MUGS = {"sku": "mug", "quantity": 2, "card": "4000-0001"}
SignIn = Callable[..., dict[str, str]]
Headers = dict[str, str]


def eventually(ask: Callable[[], Any]) -> Any:
    """Ask until the answer is something."""
    deadline = time.monotonic() + 10
    while not (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def stock_of(client: TestClient) -> dict[str, int]:
    """What is on the shelves."""
    return {row["sku"]: row["in_stock"] for row in client.get("/products").json()}


def test_an_order_sent_twice_is_one_order(client: TestClient, ada: Headers, world: Outside):
    """The same idempotency key gives the same receipt, and everything happens once."""
    key = ada | {"idempotency-key": "basket-7"}
    answers = [client.post("/orders", json=MUGS, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(world.effects("payment")) == 1
    assert len(client.get("/orders", headers=ada).json()) == 1


def test_a_key_belongs_to_its_buyer(client: TestClient, ada: Headers, sign_in: SignIn):
    """Somebody else's request with the same idempotency key is another order."""
    bela = sign_in("bela")
    receipts = [client.post("/orders", json=MUGS, headers=who | {"idempotency-key": "1"}) for who in (ada, bela)]
    assert receipts[0].json()["number"] != receipts[1].json()["number"]


def test_an_order_can_be_answered_later(client: TestClient, ada: Headers):
    """Asked to answer at once, the shop gives the place where the result will be."""
    accepted = client.post("/orders", json=MUGS, headers=ada | {"prefer": "respond-async"})
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"

    def result() -> Any:
        answer = client.get(accepted.headers["location"])
        return answer if answer.status_code != 202 else None

    found = eventually(result)
    assert (found.status_code, found.json()["cents"]) == (201, 2900)


def test_a_declined_card_puts_the_goods_back(client: TestClient, ada: Headers, world: Outside):
    """What was reserved for an order that cannot be paid is on the shelf again."""
    before = stock_of(client)
    assert client.post("/orders", json=MUGS | {"card": "4000-0402"}, headers=ada).status_code == 402
    assert stock_of(client) == before
    assert [row["status"] for row in client.get("/orders", headers=ada).json()] == ["cancelled"]
    assert world.effects("refund") == []


def test_what_nobody_can_be_told_of_is_paid_back(client: TestClient, sign_in: SignIn, world: Outside):
    """A refused mail undoes the order: first the payment, then the reservation."""
    dora, before = sign_in("dora", "nowhere.example"), stock_of(client)
    answer = client.post("/orders", json=MUGS, headers=dora)
    assert (answer.status_code, answer.json()["detail"]) == (422, "mail to dora@nowhere.example is refused")
    assert [(effect.cents) for kind in ("payment", "refund") for effect in world.effects(kind)] == [2900, 2900]
    assert stock_of(client) == before


def test_a_busy_bank_is_asked_again(client: TestClient, ada: Headers, world: Outside):
    """A provider that answers the third time costs patience, not the order."""
    answer = client.post("/orders", json=MUGS | {"card": "4000-0503"}, headers=ada)
    assert answer.status_code == 201
    assert len(world.effects("payment")) == 1


def test_the_buyer_is_reminded(client: TestClient, ada: Headers, world: Outside):
    """An order sends a message to the future, which arrives as a mail."""
    number = client.post("/orders", json=MUGS, headers=ada).json()["number"]
    assert eventually(lambda: [effect for effect in world.effects("mail") if effect.key == f"review-{number}"])


def test_tabs_do_not_overwrite_each_other(client: TestClient, ada: Headers):
    """Additions to one cart at the same time are all kept."""
    with ThreadPoolExecutor(4) as tabs:
        line = {"sku": "mug", "quantity": 1}
        answers = list(tabs.map(lambda _: client.post("/carts/c1/lines", json=line, headers=ada), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert client.get("/carts/c1", headers=ada).json()["lines"] == {"mug": 8}


def test_a_cart_is_ordered_and_emptied(client: TestClient, ada: Headers, world: Outside):
    """Each line becomes an order, and the cart is free again."""
    for sku in ("mug", "lantern"):
        client.post("/carts/c2/lines", json={"sku": sku, "quantity": 1}, headers=ada)
    answer = client.post("/carts/c2/checkout", json={"card": "4000-0009"}, headers=ada)
    assert (answer.status_code, [receipt["cents"] for receipt in answer.json()]) == (201, [1450, 4300])
    assert sorted(effect.cents for effect in world.effects("payment")) == [1450, 4300]
    assert client.get("/carts/c2", headers=ada).json()["lines"] == {}


def test_a_cart_has_one_owner(client: TestClient, ada: Headers, sign_in: SignIn):
    """Nobody sees, or adds to, what is in somebody else's cart."""
    bela = sign_in("bela")
    client.post("/carts/c3/lines", json={"sku": "mug", "quantity": 1}, headers=ada)
    assert client.get("/carts/c3", headers=bela).status_code == 404
    assert client.post("/carts/c3/lines", json={"sku": "mug", "quantity": 1}, headers=bela).status_code == 404


def test_a_refund_waits_for_the_staff(
    client: TestClient, ada: Headers, sign_in: SignIn, settings: Settings, world: Outside
):
    """The workflow waits for a decision, only the staff can make it, and then the money goes back once."""
    number = client.post("/orders", json=MUGS, headers=ada).json()["number"]
    wish, later = {"reason": "chipped"}, {"prefer": "respond-async"}
    asked = client.post(f"/orders/{number}/refund", json=wish, headers=ada | later)
    assert asked.status_code == 202
    sten = sign_in("sten")
    assert client.get("/refunds", headers=sten).status_code == 403
    hire("sten", settings.database)
    assert eventually(lambda: client.get("/refunds", headers=sten).json())
    decided = client.post(f"/refunds/{number}/decision", json={"approved": True}, headers=sten)
    assert decided.status_code == 202
    # The workflow has run or is running: asking again meets it, and gets its result.
    again = client.post(f"/orders/{number}/refund", json=wish, headers=ada)
    assert (again.status_code, again.json()["cents"]) == (200, 2900)
    assert len(world.effects("refund")) == 1
    assert client.post(f"/orders/{number}/refund", json=wish, headers=sten).status_code == 404


def test_the_staff_can_say_no(client: TestClient, ada: Headers, sign_in: SignIn, settings: Settings, world: Outside):
    """A refused refund is a 403 for whoever asked, and no money moves."""
    number = client.post("/orders", json=MUGS, headers=ada).json()["number"]
    wish = {"reason": "too red"}
    client.post(f"/orders/{number}/refund", json=wish, headers=ada | {"prefer": "respond-async"})
    sten = sign_in("sten")
    hire("sten", settings.database)
    assert eventually(lambda: client.get("/refunds", headers=sten).json())
    client.post(f"/refunds/{number}/decision", json={"approved": False}, headers=sten)
    answer = client.post(f"/orders/{number}/refund", json=wish, headers=ada)
    assert (answer.status_code, answer.json()) == (403, {"detail": "the staff said no"})
    assert world.effects("refund") == []


def test_the_routes_are_documented(client: TestClient):
    """Durable routes are in the OpenAPI document, with their body and what is added to them."""
    document = client.get("/openapi.json").json()
    place = document["paths"]["/orders"]["post"]
    assert place["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/NewOrder")
    assert {"201", "202", "422"} <= set(place["responses"])
    assert "Idempotency-Key" in {parameter["name"] for parameter in place["parameters"]}
    assert place["security"] == [{"OAuth2PasswordBearer": []}]


def test_no_route_runs_handlers(client: TestClient):
    """With the engine in the process, nothing of the service protocol is reachable over HTTP."""
    for path in ("/restate/discover", "/restate/invoke/orders/place"):
        assert client.post(path).status_code == 404
