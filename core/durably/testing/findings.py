"""What a harness found, and how it says so.

Owns the words of a finding: what happened, at which journal entry, at which line of the handler; and the error that
fails a test with them.
"""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import durably
from durably.errors import DurablyError
from durably.testing.tap import AttemptFailed
from durably.testing.watching import Swallowed

__all__ = ["Finding", "HandlerFaultError", "of_failure", "of_swallowed", "told_failures"]

_MOST_SHOWN = 12

_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
_LIBRARIES: Final = (
    str(Path(durably.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<",  # what was made of a text
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a handler does differently when it runs again.

    Attributes:
        what: What happened.
        how: What the harness did, as "after a crash at …".
        location: `file:line in function`, or None.
    """

    what: str
    how: str
    location: str | None = None

    def __str__(self) -> str:
        lines = [self.what, f"  when: {self.how}"]
        if self.location is not None:
            lines.append(f"  at:   {self.location}")
        return "\n".join(lines)


class HandlerFaultError(DurablyError, AssertionError):
    """A handler does not do the same when it runs again.

    Attributes:
        findings: What was found, first come first; the same thing at the same line once.
    """

    def __init__(self, findings: Iterable[Finding], summary: str = "") -> None:
        """Tell all of them."""
        self.findings: Sequence[Finding] = tuple(findings)
        shown = [str(finding) for finding in self.findings[:_MOST_SHOWN]]
        more = len(self.findings) - len(shown)
        text = "\n".join([*shown, *([f"… and {more} more"] if more > 0 else [])])
        super().__init__(f"{summary}\n{text}" if summary else text)


def of_failure(failure: AttemptFailed, how: str) -> Finding:
    """Tell of an attempt that did not follow its journal, or failed because of what the harness did."""
    text, _, place = failure.message.partition(" The call is at ")
    location, _, rest = place.partition(". ")
    words = f"{text} {rest}".strip() if place else failure.message
    return Finding(f"{failure.target}: {words}", how, location.rstrip(".") or None if place else None)


def told_failures(failures: Iterable[AttemptFailed]) -> list[str]:
    """Tell a failed test which handlers failed, how often, with what and where; those that left their journal aside."""
    seen: dict[tuple[str, int], list[AttemptFailed]] = {}
    for failure in failures:
        if not failure.is_mismatch:
            seen.setdefault((failure.target, failure.ordinal), []).append(failure)
    told: list[str] = []
    for (target, _), attempts in seen.items():
        last = attempts[-1]
        often = "an attempt" if len(attempts) == 1 else f"{len(attempts)} attempts, the last"
        place = _place_in(last.stacktrace)
        told.append(f"{target} failed {often} with {last.message}" + (f"\n  at:   {place}" if place else ""))
    return told


def _place_in(stacktrace: str) -> str | None:
    """Give the innermost place of a traceback that is the user's code and no library's."""
    places = [(match[1], match[2], match[3]) for match in _FRAME.finditer(stacktrace)]
    own = [place for place in places if not place[0].startswith(_LIBRARIES)]
    return "{}:{} in {}".format(*own[-1]) if own else None


def of_swallowed(swallowed: Swallowed, how: str) -> Finding:
    """Tell of a handler that caught the signal that ended its attempt."""
    what = (
        f"{swallowed.target} caught the signal that ended its attempt, and went on: what it did from there on counts"
        " for nothing and happens again. Catch `Exception` instead of `BaseException`, or raise the signal again"
    )
    return Finding(what, how, swallowed.location)
