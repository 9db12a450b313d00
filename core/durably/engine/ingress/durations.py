"""Durations and times as the HTTP APIs write them.

Owns the two notations for durations, ISO 8601 (`PT1H30M`) and friendly (`1h 30m`), and the timestamps of answers.

Friendly durations, in the notation of the Rust crate jiff that the real server uses

    10s   60 sec   1h30m   1 hour, 2 minutes   1.5s   00:10:00   1d 00:10:00

1. Units go from large to small, each at most once; a comma between two is followed by a blank.
2. Fractions stand on hours and smaller units, and only last.
3. Names of units are in lower case; those of ISO 8601 are not.
4. A bare number other than 0 has no unit and is refused.
5. Years and months have no fixed length and are refused; so are negative durations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

__all__ = ["MAX_TIME_MS", "format_duration", "format_iso_duration", "parse_duration", "rfc_3339", "rfc_3339_millis"]

MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999; later times have no RFC 3339 form."""

_NS_PER_MS: Final = 1_000_000
_NS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "w": 7 * 86_400 * 10**9,
        "d": 86_400 * 10**9,
        "h": 3_600 * 10**9,
        "m": 60 * 10**9,
        "s": 10**9,
        "ms": 10**6,
        "us": 10**3,
        "ns": 1,
    }
)
_RANK: Final = {unit: rank for rank, unit in enumerate(_NS)}
_NAMES: Final = {
    "w": "weeks week wks wk w",
    "d": "days day d",
    "h": "hours hour hrs hr h",
    "m": "minutes minute mins min m",
    "s": "seconds second secs sec s",
    "ms": "milliseconds millisecond millis milli msecs msec ms",
    "us": "microseconds microsecond micros micro usecs usec us µsecs µsec µs μs",
    "ns": "nanoseconds nanosecond nanos nano nsecs nsec ns",
}
_UNITS: Final = {name: unit for unit, names in _NAMES.items() for name in names.split()}
_UNFIXED: Final = frozenset(["years", "year", "yrs", "yr", "y", "months", "month", "mos", "mo"])

_COMPONENT: Final = re.compile(r"(\d+)(?:[.,](\d{1,9}))?\s*([a-zµμ]+)")
_CLOCK: Final = re.compile(r"(\d{1,6}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?")
_BETWEEN: Final = re.compile(r",\s+|\s*")
_ISO: Final = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?P<time>T(?:(?P<h>\d+)(?:[.,](?P<hf>\d{1,9}))?H)?(?:(?P<m>\d+)(?:[.,](?P<mf>\d{1,9}))?M)?"
    r"(?:(?P<s>\d+)(?:[.,](?P<sf>\d{1,9}))?S)?)?",
    re.IGNORECASE | re.ASCII,
)
_MAX_TEXT: Final = 100  # no sensible duration is longer, and no digits are read beyond it


def parse_duration(text: str) -> int:
    """Read a duration in either notation.

    Returns:
        Milliseconds, rounded down.

    Raises:
        ValueError: It is in neither; the text says what is wrong, without repeating the input.
    """
    if len(text) > _MAX_TEXT:
        raise ValueError(f"it has more than {_MAX_TEXT} characters")
    if not text.isascii() and not set("µμ").intersection(text):
        raise ValueError("it has characters that no duration has")
    if not text:
        raise ValueError("it is empty; write a number and a unit, for example 10s or PT10S")
    nanoseconds = _iso(text) if text[0] in "Pp" else _friendly(text)
    return nanoseconds // _NS_PER_MS


def format_duration(milliseconds: int) -> str:
    """Write a friendly duration, in days and smaller units: `1d 12h`, `1m 30s`, `0s`."""
    parts: list[str] = []
    rest = milliseconds * _NS_PER_MS
    for unit in ("d", "h", "m", "s", "ms"):
        amount, rest = divmod(rest, _NS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts) or "0s"


def format_iso_duration(milliseconds: int) -> str:
    """Write an ISO 8601 duration in seconds: `PT90S`, `PT0.5S`."""
    seconds, rest = divmod(milliseconds, 1000)
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    return f"PT{seconds}{fraction}S"


def rfc_3339(time_ms: int) -> str:
    """Write a time with nanoseconds, as in answers of the ingress and listings: `2026-01-31T10:00:00.500000000Z`."""
    return f"{_moment(time_ms):%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}000000Z"


def rfc_3339_millis(time_ms: int) -> str:
    """Write a time with milliseconds, as in rows of a query: `2026-01-31T10:00:00.500Z`."""
    return f"{_moment(time_ms):%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}Z"


def _moment(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def _friendly(text: str) -> int:
    if text == "0":
        return 0
    total, position, rank = 0, 0, -1
    ended = False  # a fraction or a clock was last
    while position < len(text):
        if text[position:].strip() in ("", "ago") and rank >= 0:
            if "ago" in text[position:]:
                raise ValueError("it is negative")
            break
        if position:
            between = _BETWEEN.match(text, position)
            assert between is not None  # it matches the empty string
            position = between.end()
        if ended:
            raise ValueError("something follows a fraction or a time of the form HH:MM:SS, which must be last")
        if (clock := _CLOCK.match(text, position)) is not None and rank < _RANK["h"]:
            total += _clock(clock)
            rank, ended, position = len(_RANK), True, clock.end()
            continue
        component = _COMPONENT.match(text, position)
        if component is None:
            raise ValueError(_what_is_wrong(text[position:]))
        number, fraction, name = component.groups()
        unit = _unit(name)
        if _RANK[unit] <= rank:
            raise ValueError("units must go from large to small, and none may be repeated")
        if fraction is not None:
            if _RANK[unit] < _RANK["h"] or unit == "ns":
                raise ValueError("only hours and smaller units may have a fraction")
            ended = True
        total += _amount(number, fraction, unit)
        rank, position = _RANK[unit], component.end()
    return total


def _clock(match: re.Match[str]) -> int:
    hours, minutes, seconds, fraction = match.groups()
    if int(minutes) > 59 or int(seconds) > 59:
        raise ValueError("minutes and seconds of HH:MM:SS must be below 60")
    return _amount(hours, None, "h") + _amount(minutes, None, "m") + _amount(seconds, fraction, "s")


def _iso(text: str) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        if re.match(r"P[^T]*[YM]", text, re.IGNORECASE):
            raise ValueError("years and months have no fixed length; use days or smaller units")
        raise ValueError("it is no ISO 8601 duration such as PT10S or P1DT12H")
    groups = match.groupdict()
    given = [unit for unit in ("w", "d", "h", "m", "s") if groups[unit] is not None]
    if not given or (groups["time"] is not None and not set(given).intersection("hms")):
        raise ValueError("it has no amount after P or T")
    fractions = [unit for unit in ("h", "m", "s") if groups[unit + "f"] is not None]
    if fractions and fractions != given[-1:]:
        raise ValueError("only the last unit may have a fraction")
    return sum(_amount(groups[unit], groups.get(unit + "f"), unit) for unit in given)


def _amount(number: str, fraction: str | None, unit: str) -> int:
    whole = int(number) * _NS[unit]
    if fraction is None:
        return whole
    return whole + int(fraction.ljust(9, "0")) * _NS[unit] // 10**9


def _unit(name: str) -> str:
    if name in _UNFIXED:
        raise ValueError("years and months have no fixed length; use days or smaller units")
    unit = _UNITS.get(name)
    if unit is None:
        raise ValueError("it has an unknown unit; use d, h, m, s or ms, for example 1h 30m")
    return unit


def _what_is_wrong(rest: str) -> str:
    if rest[0] == "-":
        return "it is negative"
    if re.match(r"[0-9]", rest):
        return "a number has no unit; write one of d, h, m, s or ms after it, for example 10s"
    return "it does not start with a number; write for example 10s or PT10S"
