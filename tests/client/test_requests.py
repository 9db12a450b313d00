"""Requests: every name is one path segment, and mistakes are refused before anything is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably.errors import ClientError, UsageError
from tests.client.exchanges import Exchange, Use, both
from tests.client.ingress import Ingress, running_ingress
from tests.client.shop import Order, add, maybe, ping, place, run, upload

KEYS = {
    "a/b?c#d": "a%2Fb%3Fc%23d",
    "..": "%2E%2E",
    ".": "%2E",
    "a..b": "a..b",
    "%2e": "%252e",
    "ü €": "%C3%BC%20%E2%82%AC",
    "a+b&c=d;e:f@g": "a%2Bb%26c%3Dd%3Be%3Af%40g",
    "\r\nx: y": "%0D%0Ax%3A%20y",
    "\\": "%5C",
    "send": "send",
}


@both
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_one_path_segment(exchange: Exchange, ingress: Ingress, key: str) -> None:
    """No key reaches another path, a query or a header: it is encoded as exactly one segment."""
    ingress.answer(b"1")
    exchange(ingress.url, lambda client: client.object_call(add, key, Order("a", 1)))

    assert ingress.last.path == f"/Cart/{KEYS[key]}/add"


@both
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda client: client.object_call(add, "", Order("a", 1)), "key is empty"),
        (lambda client: client.object_call(add, 7, Order("a", 1)), "key must be text, not int"),
        (lambda client: client.object_call(add, "\ud800", Order("a", 1)), "not valid Unicode"),
        (lambda client: client.service_call(add, Order("a", 1)), "Cart is keyed, and no key was given"),
        (lambda client: client.object_call(place, "k", Order("a", 1)), "Shop is a plain service"),
        (lambda client: client.service_call(running_ingress, None), "is not a registered handler"),
        (lambda client: client.service_call(ping, 3), "Shop/ping takes no input"),
        (lambda client: client.generic_call("", "h", b""), "service is empty"),
        (lambda client: client.generic_call("s", "", b""), "handler is empty"),
        (lambda client: client.generic_call("s", "h", b"", limit_key="l"), "limit key needs a scope"),
        (lambda client: client.service_call(ping, None, idempotency_key=""), "idempotency key is empty"),
        (lambda client: client.service_send(ping, None, timedelta(-1)), "delay is negative"),
        (lambda client: client.attach(""), "invocation id is empty"),
        (lambda client: client.workflow_attach(run, ""), "key is empty"),
    ],
    ids=[f"case {number}" for number in range(14)],
)
def test_requests_that_cannot_work_are_not_sent(exchange: Exchange, ingress: Ingress, use: Use, message: str) -> None:
    """A mistake in a name, a key or an option is refused before anything is sent."""
    with pytest.raises(UsageError, match=message):
        exchange(ingress.url, use)

    assert ingress.received == []


@both
def test_media_types(exchange: Exchange, ingress: Ingress) -> None:
    """No body has no content type, bytes are sent as they are, and a header of the caller's own wins."""
    sent: list[tuple[Any, bytes]] = []
    uses: list[Use] = [
        lambda client: client.service_call(ping, None),
        lambda client: client.service_call(maybe, None),
        lambda client: client.service_call(upload, b"\x00\xff"),
        lambda client: client.generic_call("Shop", "ping", b""),
        lambda client: client.generic_call("Shop", "place", b"{}"),
        lambda client: client.generic_call("Shop", "upload", b"x", headers={"Content-Type": "image/png"}),
    ]
    for use in uses:
        exchange(ingress.url, use)
        sent.append((ingress.last.headers.get("content-type"), ingress.last.body))

    assert sent == [
        (None, b""),
        (None, b""),
        ("application/octet-stream", b"\x00\xff"),
        (None, b""),
        ("application/json", b"{}"),
        ("image/png", b"x"),
    ]


@both
@pytest.mark.parametrize(
    ("status", "body", "message", "metadata"),
    [
        (402, b'{"code":402,"message":"declined","metadata":{"k":"v"}}', "declined", {"k": "v"}),
        (500, b"<html>oops</html>", "Internal Server Error", {}),
        (404, b'["not an object"]', "Not Found", {}),
        (503, b'{"message":7}', "Service Unavailable", {}),
        (499, b"\xff", "no reason given", {}),
        (302, b"", "Found", {}),
    ],
    ids=["failure", "page", "list", "odd message", "no text", "redirection"],
)
def test_errors(
    exchange: Exchange, ingress: Ingress, status: int, body: bytes, message: str, metadata: dict[str, str]
) -> None:
    """Status, message, metadata and body of an error response arrive as an `HttpError`, whatever the body is."""
    ingress.answer(body, status)

    with pytest.raises(durably.HttpError) as caught:
        exchange(ingress.url, lambda client: client.service_call(ping, None))

    error = caught.value
    assert isinstance(error, ClientError)
    assert (error.status_code, error.message, error.metadata) == (status, message, metadata)
    assert error.body == body.decode(errors="replace")
    assert str(error) == f"HTTP {status}: {message}"


@both
def test_a_send_that_names_no_invocation(exchange: Exchange, ingress: Ingress) -> None:
    """Some other server's 200 is not taken for an accepted invocation; a known one is recognised."""
    ingress.answer(b"hello")
    with pytest.raises(ClientError, match="names no invocation"):
        exchange(ingress.url, lambda client: client.service_send(ping, None))
    ingress.answer(b'{"invocationId":"inv_1","status":"PreviouslyAccepted"}', 202)
    handle = exchange(ingress.url, lambda client: client.service_send(ping, None))

    assert not handle.is_new
    assert repr(handle) == "<RestateClientSendHandle inv_1>"
