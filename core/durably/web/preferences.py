"""What a client prefers: the `Prefer` header.

Owns its grammar and the two preferences that are honoured. Others, and what cannot be read, are ignored, as the
standard demands; of a preference that comes twice the first counts.

Source: RFC 7240, sections 2 and 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

__all__ = ["NO_PREFERENCE", "Preference", "read_preference"]

_MAX_CHARS: Final = 2048
_MAX_WAIT_S: Final = 24 * 3600
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD: Final = rf'(?:{_NAME}|"(?:[^"\\]|\\.)*")'
_PAIR: Final = rf"({_NAME})(?:[ \t]*=[ \t]*({_WORD}))?"
_PREFERENCE: Final = re.compile(rf"[ \t]*{_PAIR}[ \t]*(?:;[ \t]*(?:{_NAME}(?:[ \t]*=[ \t]*{_WORD})?)?[ \t]*)*")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long the client is ready to wait.

    Attributes:
        respond_async: Whether it wants to come back for the result.
        wait: How long it wants to wait before that; None says nothing.
    """

    respond_async: bool = False
    wait: timedelta | None = None

    @property
    def waits_for_result(self) -> bool:
        """Whether the answer is the result, however long it takes."""
        return not self.respond_async and self.wait is None

    @property
    def applied(self) -> str:
        """What goes into `Preference-Applied`."""
        applied = ["respond-async"] if self.respond_async else []
        if self.wait is not None:
            applied.append(f"wait={self.wait // timedelta(seconds=1)}")
        return ", ".join(applied)


NO_PREFERENCE: Final = Preference()


def read_preference(header: str | None) -> Preference:
    """Read a `Prefer` header; several are joined with commas."""
    if not header or len(header) > _MAX_CHARS:
        return NO_PREFERENCE
    found: dict[str, str] = {}
    position = 0
    while position < len(header):
        match = _PREFERENCE.match(header, position)
        end = header.find(",", position) if match is None else match.end()
        if match is not None and (end == len(header) or header[end] == ","):
            found.setdefault(match[1].lower(), (match[2] or "").strip('"'))
        elif match is not None:
            end = header.find(",", end)
        position = len(header) if end < 0 else end + 1
    return Preference("respond-async" in found, _seconds(found.get("wait")))


def _seconds(text: str | None) -> timedelta | None:
    if not text or not text.isascii() or not text.isdigit():
        return None
    return timedelta(seconds=min(int(text[:9]), _MAX_WAIT_S))
