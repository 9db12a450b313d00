"""Whether a request that failed is sent again, and when.

Owns the decision; sending and sleeping is done by the clients. A handler's own failure is never a reason, whatever
its status: it is the stored result, and would be the same again.
"""

from __future__ import annotations

import random
from datetime import timedelta

from durably.client.interfaces import HttpError, UnreachableError
from durably.client.options import ClientOptions

__all__ = ["Retries"]

_jitter = random.SystemRandom()


class Retries:
    """What is left to try for one request."""

    def __init__(self, options: ClientOptions, *, is_safe: bool) -> None:
        """Begin with the first attempt; only a request that `is_safe` gets another."""
        self._options = options
        self._left = options.attempts - 1 if is_safe else 0
        self._longest = options.first_delay

    def wait_after(self, error: Exception) -> timedelta | None:
        """Give the time to wait before the next attempt, or None if there is none; counts the attempt."""
        asked = self._asked_wait(error)
        if asked is None or self._left < 1 or asked > self._options.max_retry_after:
            return None
        self._left -= 1
        longest = min(self._longest, self._options.max_delay)
        self._longest = min(self._longest * self._options.delay_factor, self._options.max_delay)
        # What the runtime asks for is the least; the random part keeps many clients from coming back at once.
        return max(asked, longest * _jitter.uniform(0.5, 1.0))

    def _asked_wait(self, error: Exception) -> timedelta | None:
        if isinstance(error, UnreachableError):
            return timedelta(0)
        if not isinstance(error, HttpError) or error.source == "invocation":
            return None
        return (error.retry_after or timedelta(0)) if error.status_code in self._options.retry_statuses else None
