"""Decides when a silent connection is asked for a sign, given up, or closed because nobody uses it.

Owns the three times. Knows no clock: whoever looks says how late it is.

| streams | silence | verdict |
|---|---|---|
| some | shorter than the ping interval | FINE |
| some | longer, not asked yet | ASK, once |
| some | asked, and nothing came within the ping timeout | LOST |
| none | used within the idle timeout | FINE |
| none | not | IDLE |
"""

from __future__ import annotations

import enum

from durably.engine.transport.options import HttpOptions

__all__ = ["Keepalive", "Verdict"]


class Verdict(enum.Enum):
    """What to do about a connection."""

    FINE = enum.auto()
    ASK = enum.auto()
    LOST = enum.auto()
    IDLE = enum.auto()


class Keepalive:
    """The times of one connection, in seconds on any clock that only grows.

    Attributes:
        period_s: How often to look.
    """

    __slots__ = ("_asked_at", "_options", "_received_at", "_used_at", "period_s")

    def __init__(self, options: HttpOptions, now_s: float) -> None:
        """Begin with a connection that was just made."""
        self._options = options
        self._received_at = self._used_at = now_s
        self._asked_at: float | None = None
        self.period_s: float = min(options.ping_interval_s, options.ping_timeout_s, options.idle_timeout_s) / 4

    def received(self, now_s: float) -> None:
        """Note a sign of the peer."""
        self._received_at = now_s
        self._asked_at = None

    def used(self, now_s: float) -> None:
        """Note that a stream ended."""
        self._used_at = now_s

    def look(self, now_s: float, *, has_streams: bool) -> Verdict:
        """Judge the connection; after ASK a ping must be sent."""
        options = self._options
        if not has_streams:
            self._asked_at = None
            return Verdict.IDLE if now_s - self._used_at >= options.idle_timeout_s else Verdict.FINE
        if self._asked_at is not None:
            return Verdict.LOST if now_s - self._asked_at >= options.ping_timeout_s else Verdict.FINE
        if now_s - self._received_at < options.ping_interval_s:
            return Verdict.FINE
        self._asked_at = now_s
        return Verdict.ASK
