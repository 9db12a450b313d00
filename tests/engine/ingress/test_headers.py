"""Headers of requests: limits, refusals, and what a handler gets to see."""

from __future__ import annotations

import pytest

from durably.engine.ingress.headers import RequestHeaders, read_headers
from durably.engine.ingress.refusals import RefusedError
from durably.engine.records import Limits

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(*pairs: tuple[str, str | bytes], limits: Limits | None = None, **options: frozenset[str]) -> RequestHeaders:
    """Read headers."""
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in pairs]
    return read_headers(raw, "/Svc/go?x=1", limits or Limits(), **options)


def test_a_handler_gets_path_and_headers_in_their_order() -> None:
    """The path first, with the query; doubled headers twice."""
    headers = read(("x-a", "1"), ("content-type", "application/json"), ("x-a", "2"), ("content-length", "2"))
    assert headers.forwarded == (
        ("x-restate-ingress-path", "/Svc/go?x=1"),
        ("x-a", "1"),
        ("content-type", "application/json"),
        ("x-a", "2"),
        ("content-length", "2"),
    )
    assert (headers.content_type, headers.content_length) == ("application/json", 2)


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "proxy-connection",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "idempotency-key",
        "idempotency-expires",
        "x-restate-id",
        "x-restate-ingress-path",
    ],
)
def test_credentials_and_headers_of_the_connection_stay_behind(name: str) -> None:
    """They would stand in the journal for as long as it is kept."""
    assert [key for key, _ in read((name, "secret")).forwarded] == ["x-restate-ingress-path"]


def test_a_held_back_header_can_be_let_through() -> None:
    """By an option that names it."""
    headers = read(("authorization", "Bearer x"), ("cookie", "a=b"), pass_on=frozenset({"authorization"}))
    assert headers.forwarded[1:] == (("authorization", "Bearer x"),)


@pytest.mark.parametrize(
    ("value", "passes"), [(TRACE, True), (TRACE.upper(), False), ("garbage", False), (TRACE + "-x", False)]
)
def test_only_a_well_formed_trace_goes_on(value: str, passes: bool) -> None:
    """A malformed one would break the tracing of handlers."""
    assert (len(read(("traceparent", value)).forwarded) == 2) is passes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", b"\xe2\x82\xac"),
        ("x-a", b"a\r\nx-b: c"),
        ("x-a", b"a\0b"),
        ("x-a", b"a\x7f"),
        ("x a", b"b"),
        ("x\n", b"b"),
        ("", b"b"),
        ("idempotency-key", b"\xff"),
        ("content-length", b"-1"),
        ("content-length", b"1" * 30),
        ("content-length", "٣".encode()),
    ],
)
def test_malformed_headers_are_refused(name: str, value: bytes) -> None:
    """Line breaks, NUL and whatever is not visible ASCII."""
    with pytest.raises(RefusedError) as refused:
        read((name, value))
    assert refused.value.status == 400


def test_idempotency_keys_are_single_and_limited() -> None:
    """Twice is ambiguous; an empty one is none; the limit is inclusive."""
    with pytest.raises(RefusedError, match="twice"):
        read(("idempotency-key", "a"), ("idempotency-key", "a"))
    assert read(("idempotency-key", "")).idempotency_key is None
    assert read(("idempotency-key", "k" * 1024)).idempotency_key == "k" * 1024
    with pytest.raises(RefusedError, match="1024"):
        read(("idempotency-key", "k" * 1025))


def test_number_and_size_of_headers_are_limited() -> None:
    """Both limits are inclusive; more is 431."""
    few = Limits(header_count=2, header_bytes=10)
    assert len(read(("x-a", "12"), ("x-b", "12"), limits=few).forwarded) == 3
    for pairs in ([("x-a", "12"), ("x-b", "123")], [("a", ""), ("b", ""), ("c", "")]):
        with pytest.raises(RefusedError) as refused:
            read(*pairs, limits=few)
        assert refused.value.status == 431
