"""Signing up: a week that passes in no time, a link that is opened, and a process that dies anywhere."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, override_settings

from accounts import durable
from accounts.mails import confirmation_link, read_link
from accounts.models import SignUp
from durably.testing.effects import Effects
from durably.testing.fixtures import HarnessFactory
from durably_django import send_on_commit
from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay
from durably_django.runtime import runtime
from tests.steps import done, empty_tables, eventually

ADA = {"username": "ada", "email": "ada@home.example", "password": "correct horse battery"}
REMINDERS = ["Your account is almost ready", "Do you still want your account?"]


def signed_up() -> str:
    """Store a sign-up as the form does, and give its key."""
    return str(SignUp.objects.create(username="ada", email="ada@home.example", password="a hash").pk)


def subjects() -> list[str]:
    """The mails that were sent, in order."""
    return [str(each.subject) for each in mail.outbox]


def token() -> str:
    """Find the link's token in the first mail."""
    found = re.search(r"/accounts/confirm/([^/\s]+)/", str(mail.outbox[0].body))
    assert found is not None
    return found[1]


def awakeable() -> str:
    """Give the awakeable of the link in the first mail."""
    return read_link(token())[1]


def test_nobody_opens_the_link(durably_harness: HarnessFactory):
    """A week passes: two reminders are sent, then the account is gone and its name is free."""
    key = signed_up()
    with durably_harness(runtime, skip_time=True) as harness:
        assert harness.client.call(durable.run, key=key) == "expired"
    assert subjects() == ["Please confirm your address", *REMINDERS]
    assert done() == ["account created", "account removed"]
    assert not User.objects.exists()
    assert SignUp.objects.get().state == "expired"
    signed_up()  # the same name again


def test_the_reminders_come_on_their_days(durably_harness: HarnessFactory):
    """The first reminder comes after a day and not before, the second after three, and no mail after that."""
    key = signed_up()
    with durably_harness(runtime, skip_time=True) as harness:
        harness.client.send(durable.run, key=key)
        counts = []
        for hours in (0, 23, 2, 46, 2, 94):
            harness.advance(timedelta(hours=hours))
            harness.settle()
            counts.append(len(mail.outbox))
        assert counts == [1, 1, 2, 2, 3, 3]
        assert SignUp.objects.get().state == "waiting"
        harness.advance(timedelta(hours=2))
        harness.settle()
        assert SignUp.objects.get().state == "expired"


def test_the_link_is_opened_late(durably_harness: HarnessFactory):
    """Confirmed on the second day: one reminder, an active account, a welcome, and nothing more after the week."""
    key = signed_up()
    with durably_harness(runtime, skip_time=True) as harness:
        sent = harness.client.send(durable.run, key=key)
        harness.settle()
        harness.advance(timedelta(days=2))
        harness.settle()
        assert not User.objects.get().is_active
        harness.client.resolve_awakeable(awakeable(), True)
        assert harness.client.attach(sent.invocation_id, type_hint=str) == "confirmed"
        harness.advance(timedelta(days=30))
        harness.settle()
    assert subjects() == ["Please confirm your address", REMINDERS[0], "Welcome"]
    assert User.objects.get().is_active
    assert done() == ["account created", "account activated"]


@pytest.mark.durably(crash_everywhere=True)
def test_it_crashes_anywhere_and_expires(durably_harness: HarnessFactory, counted_mails: Effects) -> Any:
    """Wherever the process dies in the week: each mail once, one account made, and removed."""
    durably_harness.before_each(empty_tables)
    key = signed_up_as("5b7c3f1e-0000-4000-8000-000000000001")
    with durably_harness(runtime) as harness:
        assert harness.client.call(durable.run, key=key) == "expired"
    return done(), User.objects.count()


@pytest.mark.durably(crash_everywhere=True)
def test_it_crashes_anywhere_and_is_confirmed(durably_harness: HarnessFactory, counted_mails: Effects) -> Any:
    """Wherever the process dies around the confirmation: one account, active, and one welcome."""
    durably_harness.before_each(empty_tables)
    key = signed_up_as("5b7c3f1e-0000-4000-8000-000000000002")
    with durably_harness(runtime) as harness:
        sent = harness.client.send(durable.run, key=key)
        harness.advance(timedelta(hours=1))  # a step that died is tried again meanwhile
        harness.client.resolve_awakeable(awakeable(), True)
        assert harness.client.attach(sent.invocation_id, type_hint=str) == "confirmed"
    return done(), list(User.objects.values_list("username", "is_active"))


def signed_up_as(key: str) -> str:
    """Store a sign-up with a key that is the same in each run."""
    SignUp.objects.create(pk=key, username="ada", email="ada@home.example", password="a hash")
    return key


def test_from_the_form_to_an_account(client: Client):
    """The form, the link, its button, signing in: what a person does, with the engine of the project."""
    answer = client.post("/accounts/sign-up/", ADA, follow=True)
    assert answer.redirect_chain == [(f"/accounts/sign-up/{SignUp.objects.get().pk}/", 302)]
    eventually(lambda: mail.outbox)
    assert not client.login(username="ada", password=ADA["password"])
    link = f"/accounts/confirm/{token()}/"
    assert b"ada@home.example is mine" in client.get(link).content
    assert SignUp.objects.get().state == "waiting"  # looking is not confirming
    assert client.post(link).status_code == 302
    eventually(lambda: User.objects.get().is_active)
    assert client.login(username="ada", password=ADA["password"])
    assert client.post(link).status_code == 302  # a second click does no harm
    assert SignUp.objects.get().password == ""


def test_a_forged_link_confirms_nothing(client: Client):
    """A link that we did not sign is a 404; one that is too old, or of an expired sign-up, a 410."""
    assert client.post("/accounts/confirm/eyJrZXkiOiJ4In0:1:x/").status_code == 404
    key = signed_up()
    with override_settings(SIGNUP_EXPIRES=timedelta(seconds=-1)):
        assert client.post(confirmation_link(key, "sign_1x").removeprefix("http://localhost:8000")).status_code == 410
    SignUp.objects.update(state="expired")
    link = confirmation_link(key, "sign_1x").removeprefix("http://localhost:8000")
    assert client.post(link).status_code == 410


@pytest.mark.parametrize(
    "field", [{"username": "a b"}, {"email": "nowhere"}, {"password": "short"}, {"username": "eve"}]
)
def test_a_bad_form_starts_nothing(client: Client, field: dict[str, str]):
    """What does not validate is shown again, and neither a row nor a message is left."""
    User.objects.create_user("eve")
    assert client.post("/accounts/sign-up/", ADA | field).status_code == 400
    assert not SignUp.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_sign_up_that_is_rolled_back_never_begins(client: Client, monkeypatch: pytest.MonkeyPatch):
    """If the transaction fails after the message was written, there is no row, no message, and nothing to send."""

    def send_and_fail(*args: Any, **kwargs: Any) -> None:
        send_on_commit(*args, **kwargs)
        assert OutboxMessage.objects.count() == 1
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("accounts.views.send_on_commit", send_and_fail)
    client.raise_request_exception = False
    assert client.post("/accounts/sign-up/", ADA).status_code == 500
    assert not SignUp.objects.exists()
    assert not OutboxMessage.objects.exists()
    assert relay.drain() == 0
    assert mail.outbox == []
