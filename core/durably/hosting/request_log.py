"""One escaped log line per refused request, rate limited for each kind of refusal.

Owns what an unauthenticated peer can make this process write to its log: never a payload or a header value, never
a raw control character, never more than a few lines a second however many requests arrive.

Source: ours, docs/design.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LINES_PER_SECOND", "Refusal", "RequestLog", "escaped", "request_log"]

LINES_PER_SECOND: Final = 10  # for each kind; enough to see a pattern, too few to fill a disk
_TEXT_LIMIT: Final = 300  # characters of a logged path or reason

_logger = logging.getLogger(__name__)


class Refusal(enum.Enum):
    """Why a request, or the body of an invocation, was refused."""

    UNKNOWN_PATH = "unknown_path"
    UNKNOWN_HANDLER = "unknown_handler"
    WRONG_METHOD = "wrong_method"
    NOT_SIGNED = "not_signed"
    UNSUPPORTED_VERSION = "unsupported_version"
    BAD_CONFIGURATION = "bad_configuration"
    MALFORMED_BODY = "malformed_body"
    INTERNAL = "internal"


class RequestLog:
    """Writes the lines and counts those it leaves out."""

    def __init__(
        self, *, lines_per_second: int = LINES_PER_SECOND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Allow that many lines of each kind per second of `clock`, which gives monotonic seconds."""
        self._lines_per_second = lines_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._second_of: dict[Refusal, float] = {}
        self._lines_of: dict[Refusal, int] = {}
        self._left_out: dict[Refusal, int] = {}

    def refused(self, kind: Refusal, *, status: int, path: str, peer: str | None, reason: str) -> None:
        """Write one line, or count it as left out.

        Args:
            kind: What the limit is counted by.
            status: HTTP status that the peer got, or 200 when the refusal is an Error message in a response.
            path: As received; escaped and cut here.
            peer: The peer's address, or None when the server tells none.
            reason: Own words, without payloads or header values; escaped and cut here.
        """
        left_out = self._admit(kind)
        if left_out is None:
            return
        _logger.warning(
            "refused kind=%s status=%d path=%s peer=%s reason=%s left_out=%d",
            kind.value,
            status,
            escaped(path),
            escaped(peer or ""),
            escaped(reason),
            left_out,
        )

    def _admit(self, kind: Refusal) -> int | None:
        now_s = self._clock()
        with self._lock:
            if now_s - self._second_of.get(kind, float("-inf")) >= 1.0:
                self._second_of[kind] = now_s
                self._lines_of[kind] = 0
            if self._lines_of[kind] >= self._lines_per_second:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return None
            self._lines_of[kind] += 1
            return self._left_out.pop(kind, 0)


def escaped(text: str) -> str:
    """Quote `text` in printable ASCII, so that it can neither end the line nor drive a terminal."""
    return ascii(text if len(text) <= _TEXT_LIMIT else text[:_TEXT_LIMIT] + "…")


request_log: Final = RequestLog()
