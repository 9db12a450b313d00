"""Signals and promises over HTTP: what is asked of the relaying handlers, and what is said where there are none."""

from __future__ import annotations

import json

import pytest

from durably.client import HttpError
from durably.errors import ClientError, UsageError
from tests.client.exchanges import Exchange, both
from tests.client.ingress import Ingress
from tests.client.runtimes import Client
from tests.client.shop import run

MISSING = b'{"code":404,"message":"service not found","source":"ingress"}'


@both
def test_requests(exchange: Exchange, ingress: Ingress) -> None:
    """A value travels as base64, so that any bytes may."""
    exchange(ingress.url, lambda client: client.resolve_signal("inv_1", "go", "ü"))
    exchange(ingress.url, lambda client: client.reject_promise(run, "k/1", "seats", "full"))

    signal, promise = ingress.received
    assert (signal.path, promise.path) == ("/DurablySignals/complete", "/Signup/k%2F1/completePromise")
    assert json.loads(signal.body) == {"name": "go", "value": "IsO8Ig==", "reason": "", "invocation_id": "inv_1"}
    assert json.loads(promise.body) == {"name": "seats", "value": None, "reason": "full", "invocation_id": ""}


@both
def test_no_way_in(exchange: Exchange, ingress: Ingress) -> None:
    """Where the handler is missing, the error says what to add; other refusals stay what they are."""
    ingress.answer(MISSING, 404)
    with pytest.raises(ClientError, match="signal_service"):
        exchange(ingress.url, lambda client: client.resolve_signal("inv_1", "go", 1))
    ingress.answer(MISSING, 404)
    with pytest.raises(ClientError, match="expose_promises"):
        exchange(ingress.url, lambda client: client.resolve_promise("Signup", "k", "seats", 1))
    for status, source in ((404, "invocation"), (503, "ingress")):
        ingress.answer(json.dumps({"message": "no", "source": source}).encode(), status)
        with pytest.raises(HttpError, match="no"):
            exchange(ingress.url, lambda client: client.resolve_promise("Signup", "k", "seats", 1))


@both
def test_a_promise_needs_a_name(exchange: Exchange, ingress: Ingress) -> None:
    """Names and keys that are empty are refused before anything is sent."""
    for key, name in (("", "seats"), ("k", "")):
        with pytest.raises(UsageError, match="empty"):
            exchange(ingress.url, lambda client, key=key, name=name: client.resolve_promise(run, key, name, 1))
    assert ingress.received == []


def test_values_that_are_no_base64(client: Client) -> None:
    """Whoever calls the handlers by hand gets a 400, not an attempt that is tried for ever."""
    for service, key in (("DurablySignals", None), ("Enrolment", client.key())):
        handler = "complete" if key is None else "completePromise"
        body = {"name": "n", "value": "no base64", "invocation_id": "inv_1gdJBtdVEcM942bjcDmb1c1khoaJe11Hbz"}
        with pytest.raises(HttpError) as caught:
            client.ask(
                lambda each, service=service, handler=handler, key=key, body=body: each.generic_call(
                    service, handler, json.dumps(body).encode(), key
                )
            )
        assert (caught.value.status_code, caught.value.source) == (400, "invocation")
