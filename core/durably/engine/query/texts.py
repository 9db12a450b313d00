"""Functions on texts for queries, in time that grows with the lengths of their arguments only.

Owns the replacements for SQLite's own LIKE, instr, replace and trim. Those go back and forth over a text once for each
`%` of a pattern, or once for each character of what they look for, and cannot be interrupted meanwhile: one short query
could hold a thread for years.

Rules
1. NULL in, NULL out. Numbers are compared as texts.
2. LIKE takes ASCII letters in either case for the same, as SQLite does, and no others; bytes are like nothing.
3. What would take long is refused with an error that says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, cast

__all__ = ["MOST_RESULT_BYTES", "TEXTS"]

SqlValue = str | bytes | int | float | None

MOST_RESULT_BYTES: Final = 34 * 1024 * 1024
_MOST_PATTERN: Final = 1000
_MOST_STEPS: Final = 20_000_000
_MOST_TRIMMED: Final = 100


def _text(value: SqlValue) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else str(value)


def _like(pattern: SqlValue, value: SqlValue, escape: SqlValue = "") -> int | None:
    if pattern is None or value is None or escape is None:
        return None
    if isinstance(pattern, bytes) or isinstance(value, bytes):
        return 0
    text, wanted = _text(value), _text(pattern)
    if len(wanted) > _MOST_PATTERN:
        raise ValueError("a pattern is too long")
    segments = _segments(wanted, _text(escape))
    if sum(segment.steps for segment in segments) * len(text) > _MOST_STEPS:
        raise ValueError("a text is too long for a pattern with _")
    # Each segment is matched where it fits first; the first and the last one stand at the ends.
    begin, end = 0, len(text)
    first, *middle = segments
    if not first.stands_at(text, 0) or (not middle and end != first.length):
        return 0
    begin = first.length
    if middle:
        *middle, last = middle
        end -= last.length
        if end < begin or not last.stands_at(text, end):
            return 0
    for segment in middle:
        found = segment.find(text, begin, end)
        if found < 0:
            return 0
        begin = found + segment.length
    return 1


class _Segment:
    """What stands between two `%`: characters, and `_` for any one."""

    __slots__ = ("length", "pattern", "steps")

    def __init__(self, characters: list[str | None]) -> None:
        self.length: int = len(characters)
        source = "".join("." if character is None else re.escape(character) for character in characters)
        self.pattern: re.Pattern[str] = re.compile(source, re.IGNORECASE | re.ASCII | re.DOTALL)
        self.steps: int = self.length

    def stands_at(self, text: str, position: int) -> bool:
        return self.pattern.match(text, position) is not None

    def find(self, text: str, begin: int, end: int) -> int:
        found = self.pattern.search(text, begin, end)
        return -1 if found is None else found.start()


@lru_cache(maxsize=64)
def _segments(pattern: str, escape: str) -> tuple[_Segment, ...]:
    if len(escape) > 1:
        raise ValueError("ESCAPE takes one character")
    segments: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            segments[-1].append(next(characters, escape))
        elif character == "%":
            segments.append([])
        else:
            segments[-1].append(None if character == "_" else character)
    return tuple(_Segment(segment) for segment in segments)


def _instr(value: SqlValue, part: SqlValue) -> int | None:
    if value is None or part is None:
        return None
    if isinstance(value, bytes) and isinstance(part, bytes):
        return value.find(part) + 1
    return _text(value).find(_text(part)) + 1


def _replace(value: SqlValue, old: SqlValue, new: SqlValue) -> str | None:
    if value is None or old is None or new is None:
        return None
    text, before, after = _text(value), _text(old), _text(new)
    if not before:
        return text
    if len(text) + text.count(before) * (len(after) - len(before)) > MOST_RESULT_BYTES:
        raise ValueError("a replaced text is too long")
    return text.replace(before, after)


def _trimming(trim: Callable[[str, str], str]) -> Callable[..., str | None]:
    def trimmed(value: SqlValue, characters: SqlValue = " ") -> str | None:
        if value is None or characters is None:
            return None
        wanted = _text(characters)
        if len(wanted) > _MOST_TRIMMED:
            raise ValueError("too many characters to trim")
        return trim(_text(value), wanted)

    return trimmed


TEXTS: Final[Mapping[tuple[str, int], Callable[..., SqlValue]]] = MappingProxyType(
    {
        ("like", 2): _like,
        ("like", 3): _like,
        ("instr", 2): _instr,
        ("replace", 3): _replace,
        **{
            (name, arguments): _trimming(cast("Callable[[str, str], str]", trim))
            for name, trim in (("trim", str.strip), ("ltrim", str.lstrip), ("rtrim", str.rstrip))
            for arguments in (1, 2)
        },
    }
)
"""Name and number of arguments → function."""
