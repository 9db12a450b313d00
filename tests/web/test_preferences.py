"""The `Prefer` header, as RFC 7240 has it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.web.preferences import NO_PREFERENCE, Preference, read_preference


def seconds(number: int) -> timedelta:
    """Give so many."""
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, NO_PREFERENCE),
        ("", NO_PREFERENCE),
        ("respond-async", Preference(respond_async=True)),
        ("Respond-Async", Preference(respond_async=True)),
        ("wait=10", Preference(wait=seconds(10))),
        ("WAIT = 10", Preference(wait=seconds(10))),
        ('wait="10"', Preference(wait=seconds(10))),
        ("wait=0", Preference(wait=seconds(0))),
        ("respond-async, wait=10", Preference(respond_async=True, wait=seconds(10))),
        (" respond-async ,\twait=10 ", Preference(respond_async=True, wait=seconds(10))),
        ("wait=1, wait=2", Preference(wait=seconds(1))),
        ("respond-async; foo=bar; baz, wait=3", Preference(respond_async=True, wait=seconds(3))),
        ("return=minimal", NO_PREFERENCE),
        ('foo="a, respond-async", wait=4', Preference(wait=seconds(4))),
        (r'foo="a\", wait=9", wait=5', Preference(wait=seconds(5))),
        ("foo; respond-async", NO_PREFERENCE),
        ("respond-async;", Preference(respond_async=True)),
        (",,respond-async,", Preference(respond_async=True)),
        ("@@@, respond-async", Preference(respond_async=True)),
        ("respond-async @, wait=1", Preference(wait=seconds(1))),
        ("wait=", NO_PREFERENCE),
        ("wait", NO_PREFERENCE),
        ("wait=-1", NO_PREFERENCE),
        ("wait=1.5", NO_PREFERENCE),
        ("wait=ten", NO_PREFERENCE),
        ("wait=²", NO_PREFERENCE),
        ("wait=" + "9" * 400, Preference(wait=seconds(24 * 3600))),
        ("respond-async" + " " * 4000, NO_PREFERENCE),
    ],
)
def test_what_a_header_says(header: str | None, expected: Preference) -> None:
    """The grammar with its blanks, quotes and parameters; what cannot be read or is not known is ignored."""
    assert read_preference(header) == expected


@given(st.text(alphabet=st.sampled_from('respond-async,wait=;" \\\t19@é')))
def test_nothing_is_refused(header: str) -> None:
    """Whatever a client sends is a preference, or none."""
    read_preference(header)


def test_a_long_header_is_read_in_little_time() -> None:
    """No header makes the reading take long."""
    for hostile in ("a;" * 1000, '"' * 2000, "a=" * 1000, 'a="' * 500, ("a; " + " " * 50) * 30, "a" + "\t;" * 900):
        read_preference(hostile)


def test_what_is_told_back() -> None:
    """`Preference-Applied` names what was followed."""
    assert read_preference("respond-async").applied == "respond-async"
    assert read_preference("wait=7").applied == "wait=7"
    assert read_preference("wait=7, respond-async").applied == "respond-async, wait=7"
    assert [read_preference(header).waits_for_result for header in ("", "wait=0", "respond-async")] == [
        True,
        False,
        False,
    ]
