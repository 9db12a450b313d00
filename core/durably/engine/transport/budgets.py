"""Counts what a peer may do too often.

Owns one rule: so many in a period, and a new period begins with the first one after the last period's end.
"""

from __future__ import annotations

__all__ = ["Budget"]


class Budget:
    """At most `limit` in `period_s` seconds."""

    __slots__ = ("_limit", "_period_s", "_spent", "_started_at")

    def __init__(self, limit: int, period_s: float, now_s: float) -> None:
        """Start the first period at `now_s`, on any clock that only grows."""
        self._limit = limit
        self._period_s = period_s
        self._started_at = now_s
        self._spent = 0

    def spend(self, now_s: float) -> bool:
        """Count one; False when that is one too many."""
        if now_s - self._started_at >= self._period_s:
            self._started_at = now_s
            self._spent = 0
        self._spent += 1
        return self._spent <= self._limit
