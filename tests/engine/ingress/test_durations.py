"""Durations and times as the HTTP APIs write them; each example was asked of the real server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durably.engine.ingress.durations import (
    format_duration,
    format_iso_duration,
    parse_duration,
    rfc_3339,
    rfc_3339_millis,
)

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10 * SECOND),
        ("PT10S", 10 * SECOND),
        ("pt10s", 10 * SECOND),
        ("60 sec", MINUTE),
        ("60ms", 60),
        ("60000ms", MINUTE),
        ("0", 0),
        ("1d", DAY),
        ("P1D", DAY),
        ("1w", 7 * DAY),
        ("P1W", 7 * DAY),
        ("P1DT12H", 36 * HOUR),
        ("1h 30m", 90 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1 hour, 2 minutes", 62 * MINUTE),
        ("1.5s", 1500),
        ("1,5s", 1500),
        ("PT1.5S", 1500),
        ("PT1,5H", 90 * MINUTE),
        ("00:10:00", 10 * MINUTE),
        ("1d 00:10:00", DAY + 10 * MINUTE),
        ("100us", 0),
        ("1500µs", 1),
        ("1ns", 0),
        ("10s ", 10 * SECOND),
    ],
)
def test_a_duration_in_either_notation_is_read(text: str, expected: int) -> None:
    """What the real server accepts means the same here."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("5", "unit"),
        ("10S", "unit"),
        ("1e3s", "unit"),
        ("10x", "unknown unit"),
        ("abc", "number"),
        (" 10s", "number"),
        ("-10s", "negative"),
        ("10s ago", "negative"),
        ("2 weeks ago", "negative"),
        ("1y", "fixed length"),
        ("1month", "fixed length"),
        ("P1Y2M", "fixed length"),
        ("P1M", "fixed length"),
        ("PT", "amount"),
        ("P", "amount"),
        ("P1DT", "amount"),
        ("PT10S5M", "ISO 8601"),
        ("PT1.5H10M", "last"),
        ("1h,5m", "number"),
        ("1m 1h", "large to small"),
        ("1s 1s", "large to small"),
        ("1.5d", "fraction"),
        ("1.5h 1m", "last"),
        ("00:61:00", "below 60"),
        ("1" * 200 + "s", "100 characters"),
        ("\uff11\uff10s", "characters"),
        ("٣s", "characters"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, problem: str) -> None:
    """A bare number has no unit; the text says so, without repeating the input."""
    with pytest.raises(ValueError, match=problem):
        parse_duration(text)


@pytest.mark.parametrize(
    ("milliseconds", "friendly", "iso"),
    [
        (0, "0s", "PT0S"),
        (1, "1ms", "PT0.001S"),
        (1500, "1s 500ms", "PT1.5S"),
        (90 * SECOND, "1m 30s", "PT90S"),
        (36 * HOUR, "1d 12h", "PT129600S"),
        (400 * DAY, "400d", "PT34560000S"),
    ],
)
def test_durations_are_written_as_the_real_server_writes_them(milliseconds: int, friendly: str, iso: str) -> None:
    """Friendly in the admin API, ISO 8601 in rows of a query."""
    assert (format_duration(milliseconds), format_iso_duration(milliseconds)) == (friendly, iso)


@given(st.integers(0, 10**12))
def test_what_is_written_can_be_read(milliseconds: int) -> None:
    """Both notations come back as the same duration."""
    assert parse_duration(format_duration(milliseconds)) == milliseconds
    assert parse_duration(format_iso_duration(milliseconds)) == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a ValueError comes out of text from the network."""
    try:
        assert parse_duration(text) >= 0
    except ValueError:
        pass


def test_times_are_written_with_nanoseconds_or_milliseconds() -> None:
    """Answers and listings have nine digits, rows of a query three."""
    assert rfc_3339(1_795_425_129_479) == "2026-11-23T09:12:09.479000000Z"
    assert rfc_3339_millis(1_795_425_129_000) == "2026-11-23T09:12:09.000Z"
