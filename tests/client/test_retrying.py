"""When a request is sent again: where it is safe, not too often, not too soon, never for a handler's failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from durably.client import (
    ClientOptions,
    ClientTimeoutError,
    HttpError,
    IdempotentRequest,
    UnreachableError,
    WorkflowRun,
)
from durably.client.retrying import Retries
from tests.client.exchanges import Exchange, Use, both
from tests.client.ingress import Ingress
from tests.client.shop import ping

QUICK = ClientOptions(first_delay=timedelta(milliseconds=2), max_delay=timedelta(milliseconds=4))
REFUSED = b'{"code":503,"message":"later","source":"ingress"}'
FAILED = b'{"code":503,"message":"mine","source":"invocation"}'

SAFE: dict[str, Use] = {
    "call": lambda client: client.service_call(ping, None, idempotency_key="k"),
    "attach": lambda client: client.attach("inv_1"),
    "output": lambda client: client.output("inv_1"),
    "workflow": lambda client: client.generic_output(WorkflowRun("Signup", "k")),
    "reference": lambda client: client.attach(IdempotentRequest("Shop", "ping", "k")),
}
UNSAFE: dict[str, Use] = {
    "call": lambda client: client.service_call(ping, None),
    "send": lambda client: client.service_send(ping, None),
    "awakeable": lambda client: client.resolve_awakeable("sign_1", 1),
    "cancel": lambda client: client.cancel("inv_1"),
}


@both
@pytest.mark.parametrize("use", SAFE.values(), ids=SAFE)
def test_safe_requests_are_sent_again(exchange: Exchange, ingress: Ingress, use: Use) -> None:
    """After a refusal that may pass, and after a connection that broke, the very same request goes out again."""
    ingress.answer(REFUSED, 503)
    ingress.hang_up()
    ingress.answer(b"null")
    exchange(ingress.url, use, options=QUICK)

    assert len(ingress.received) == 3
    assert len({(each.method, each.path, each.body) for each in ingress.received}) == 1


@both
@pytest.mark.parametrize("use", UNSAFE.values(), ids=UNSAFE)
def test_others_are_sent_once(exchange: Exchange, ingress: Ingress, use: Use) -> None:
    """What could happen twice is never sent twice, not even after a broken connection."""
    ingress.answer(REFUSED, 503)
    with pytest.raises(HttpError):
        exchange(ingress.url, use, options=QUICK, admin_url=ingress.url)
    ingress.hang_up()
    with pytest.raises(UnreachableError):
        exchange(ingress.url, use, options=QUICK, admin_url=ingress.url)

    assert len(ingress.received) == 2


@both
@pytest.mark.parametrize(("body", "status"), [(FAILED, 503), (b"{}", 500), (b"{}", 404)], ids=["handler", "500", "404"])
def test_failures_that_stay(exchange: Exchange, ingress: Ingress, body: bytes, status: int) -> None:
    """A handler's failure is its stored result whatever the status, and other statuses do not pass by waiting."""
    ingress.answer(body, status)
    with pytest.raises(HttpError):
        exchange(ingress.url, SAFE["call"], options=QUICK)

    assert len(ingress.received) == 1


@both
@pytest.mark.parametrize("attempts", [1, 3])
def test_attempts_are_bounded(exchange: Exchange, ingress: Ingress, attempts: int) -> None:
    """The last attempt's error comes out."""
    for _ in range(10):
        ingress.answer(REFUSED, 503)
    options = ClientOptions(attempts=attempts, first_delay=timedelta(milliseconds=1))
    with pytest.raises(HttpError, match="later"):
        exchange(ingress.url, SAFE["call"], options=options)

    assert len(ingress.received) == attempts


@both
def test_what_the_runtime_asks_for_is_kept(exchange: Exchange, ingress: Ingress) -> None:
    """`Retry-After` of no time is tried again; one that is too long ends it at once, and is told."""
    ingress.answer(REFUSED, 429, retry_after="0")
    exchange(ingress.url, SAFE["call"], options=QUICK)
    assert len(ingress.received) == 2

    ingress.answer(REFUSED, 503, retry_after="3600")
    with pytest.raises(HttpError) as caught:
        exchange(ingress.url, SAFE["call"], options=QUICK)
    assert caught.value.retry_after == timedelta(hours=1)
    assert len(ingress.received) == 3


@both
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("7", 7, 7),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000, 3600),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("soon", None, None),
        ("-1", None, None),
        ("9" * 40, 10**9, 10**9),
    ],
    ids=["seconds", "date", "past", "word", "negative", "huge"],
)
def test_reading_retry_after(
    exchange: Exchange, ingress: Ingress, text: str, least: int | None, most: int | None
) -> None:
    """Seconds and dates are read; what is neither is as if it was not there."""
    ingress.answer(REFUSED, 503, retry_after=text)
    with pytest.raises(HttpError) as caught:
        exchange(ingress.url, UNSAFE["call"])
    asked = caught.value.retry_after

    if least is None or most is None:
        assert asked is None
    else:
        assert asked is not None
        assert least <= asked.total_seconds() <= most


@both
def test_a_timeout_bounds_all_attempts(exchange: Exchange, ingress: Ingress) -> None:
    """The timeout is for the whole of it: waits between attempts count."""
    for _ in range(10):
        ingress.answer(REFUSED, 503, retry_after="1")
    with pytest.raises(ClientTimeoutError):
        exchange(
            ingress.url,
            lambda client: client.service_call(ping, None, idempotency_key="k", timeout=timedelta(milliseconds=50)),
        )

    assert len(ingress.received) == 1


def test_waits_grow_and_are_random() -> None:
    """Waits grow to the longest, are a random part of it that is at least half, and at least what was asked for."""
    options = ClientOptions(attempts=6, first_delay=timedelta(seconds=1), max_delay=timedelta(seconds=4))
    longest = [1, 2, 4, 4, 4]
    seen: set[float] = set()
    for _ in range(20):
        retries = Retries(options, is_safe=True)
        for limit in longest:
            wait = retries.wait_after(UnreachableError("gone"))
            assert wait is not None
            assert limit / 2 <= wait.total_seconds() <= limit
            seen.add(wait.total_seconds())
        assert retries.wait_after(UnreachableError("gone")) is None
    assert len(seen) > 50

    asked = HttpError(503, "later", source="ingress", retry_after=timedelta(seconds=9))
    assert Retries(options, is_safe=True).wait_after(asked) == timedelta(seconds=9)
    assert Retries(options, is_safe=True).wait_after(ClientTimeoutError("over")) is None
