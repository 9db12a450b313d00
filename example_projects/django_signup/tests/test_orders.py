"""Orders: what leaves with the transaction, what does not, and what is taken back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from durably.testing.effects import Effects
from durably.testing.fixtures import HarnessFactory
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay
from durably_django.runtime import runtime
from orders import durable
from orders.models import Order, Product
from orders.placing import OutOfStockError, place
from tests.steps import done, empty_tables, eventually


@pytest.fixture
def ada(tables: None, client: Client) -> User:
    """Somebody with an account, who is signed in."""
    user = User.objects.create_user("ada", "ada@home.example", "correct horse battery")
    client.force_login(user)
    return user


def in_stock(sku: str) -> int:
    """What is on the shelf."""
    return Product.objects.get(pk=sku).in_stock


def test_an_order_is_shipped(client: Client, ada: User):
    """An order is fulfilled because its transaction committed: two mails, one parcel, fewer on the shelf."""
    assert client.post("/orders/", {"product": "mug", "quantity": 3}).status_code == 302
    eventually(lambda: len(mail.outbox) == 2)
    assert [each.subject for each in mail.outbox] == ["Your order", "Your parcel is on its way"]
    assert b"Shipped" in client.get("/orders/").content
    assert in_stock("mug") == 7
    assert done() == ["shipped"]
    eventually(lambda: not OutboxMessage.objects.exists())


def test_an_order_that_is_rolled_back_is_not_fulfilled(client: Client, ada: User):
    """The message was written before the shelf turned out to be empty: it goes with the transaction."""
    order = Order(buyer=ada, product=Product.objects.get(pk="compass"), quantity=11)
    with pytest.raises(OutOfStockError):
        place(order)
    answer = client.post("/orders/", {"product": "compass", "quantity": 11})
    assert (answer.status_code, b"fewer than 11 are left" in answer.content) == (400, True)
    assert (Order.objects.count(), OutboxMessage.objects.count(), in_stock("compass")) == (0, 0, 10)
    assert relay.drain() == 0
    assert mail.outbox == []


def test_a_message_waits_in_the_outbox(ada: User):
    """Committed where nothing sends: the message stays, and leaves once when something does."""
    place(Order(buyer=ada, product=Product.objects.get(pk="mug"), quantity=1))
    assert OutboxMessage.objects.count() == 1
    runtime.start(sends_outbox=False)
    assert relay.drain() == 1
    assert (OutboxMessage.objects.count(), relay.drain()) == (0, 0)
    eventually(lambda: len(mail.outbox) == 2)


@pytest.mark.durably(crash_everywhere=True)
def test_it_crashes_anywhere(durably_harness: HarnessFactory, counted_mails: Effects) -> Any:
    """Wherever the process dies, an order is shipped once and each mail counts once."""
    durably_harness.before_each(empty_tables)
    buyer = User.objects.create_user("ada", "ada@home.example")
    mug = Product.objects.get(pk="mug")
    order = Order.objects.create(pk=uuid.UUID(int=1), buyer=buyer, product=mug, quantity=2)
    with durably_harness(runtime) as harness:
        harness.client.call(durable.fulfil, str(order.pk))
    return done(), Order.objects.get().state


def test_giving_back(client: Client, ada: User):
    """A shipped order is taken back once, however often the button is pressed; others' orders are not found."""
    client.post("/orders/", {"product": "mug", "quantity": 3})
    eventually(lambda: Order.objects.get().state == "shipped")
    path = f"/orders/{Order.objects.get().pk}/return/"
    answers = [client.post(path) for _ in range(2)]
    assert [(each.status_code, each["location"]) for each in answers] == [(302, "/orders/")] * 2
    assert in_stock("mug") == 10
    assert done() == ["shipped", "returned"]
    assert [each.subject for each in mail.outbox].count("You get your money back") == 1
    stranger = Client()
    stranger.force_login(User.objects.create_user("bela"))
    assert stranger.post(path).status_code == 404
    assert Client().post(path).status_code == 302  # to sign in


def test_what_is_not_shipped_cannot_be_given_back(client: Client, ada: User):
    """An order that is being packed is not taken back: a 404 from the durable view, by the project's own page."""
    order = Order.objects.create(buyer=ada, product=Product.objects.get(pk="mug"), quantity=1)
    assert client.post(f"/orders/{order.pk}/return/").status_code == 404
    assert done() == []
