"""Times and durations of invocations, read and written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

__all__ = ["duration", "time_of"]

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS


def duration(milliseconds: float) -> str:
    """Write a duration as people read it: `12 ms`, `3.4 s`, `2 min 5 s`, `7 d`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < _MINUTE_MS:
        return f"{milliseconds / 1000:.1f} s"
    for size, name, part, part_name in (
        (_DAY_MS, "d", _HOUR_MS, "h"),
        (_HOUR_MS, "h", _MINUTE_MS, "min"),
        (_MINUTE_MS, "min", 1000, "s"),
    ):
        if milliseconds >= size:
            whole, rest = divmod(int(milliseconds), size)
            return f"{whole} {name} {rest // part} {part_name}" if rest // part else f"{whole} {name}"
    raise AssertionError("a minute is the smallest of these")


def time_of(text: str | None) -> datetime | None:
    """Read a time of the introspection views."""
    if not text:
        return None
    # Older Pythons read at most six digits of a second's fraction.
    head, dot, tail = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{tail[:6].ljust(6, '0')}" if dot else head).replace(tzinfo=UTC)
