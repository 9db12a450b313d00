"""How a client sends over HTTP: its connections, and what it does again when that is safe.

Owns the options. When a request is safe to repeat is `client.requests`' business, how long to wait is
`client.retrying`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from durably.errors import ConfigurationError

__all__ = ["DEFAULT_OPTIONS", "ClientOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Connections and retries of a client.

    Only what cannot happen twice is sent again: reads (`attach`, `output`) and calls and sends with an idempotency
    key, after a broken connection or one of `retry_statuses` that does not come from a handler.

    Attributes:
        attempts: How often a request is sent at most; 1 switches retries off.
        first_delay: Longest wait before the second attempt. Each wait is a random part of its longest, at least half.
        delay_factor: By how much the longest wait grows from attempt to attempt.
        max_delay: Where it stops growing.
        max_retry_after: A runtime that asks (`Retry-After`) for more than this is not tried again.
        retry_statuses: Statuses that may be gone the next time.
        max_connections: Most connections at once; further requests wait for one. None is no bound.
        max_idle_connections: Most connections kept for later requests.
        idle_expiry: How long they are kept.
    """

    attempts: int = 4
    first_delay: timedelta = timedelta(milliseconds=100)
    delay_factor: float = 2.0
    max_delay: timedelta = timedelta(seconds=5)
    max_retry_after: timedelta = timedelta(seconds=30)
    retry_statuses: frozenset[int] = frozenset({429, 502, 503, 504})
    max_connections: int | None = None
    max_idle_connections: int = 20
    idle_expiry: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        durations = (self.first_delay, self.max_delay, self.max_retry_after, self.idle_expiry)
        if self.attempts < 1:
            raise ConfigurationError(f"A request is sent at least once, not {self.attempts} times.")
        if self.delay_factor < 1:
            raise ConfigurationError(f"Waits do not get shorter: delay_factor is {self.delay_factor}, less than 1.")
        if any(duration < timedelta(0) for duration in durations):
            raise ConfigurationError("A duration among the client's options is negative.")
        if self.max_connections is not None and self.max_connections < 1:
            raise ConfigurationError("A client needs at least one connection.", hint="None sets no bound.")
        if self.max_idle_connections < 0:
            raise ConfigurationError("max_idle_connections is negative.")


DEFAULT_OPTIONS: Final = ClientOptions()
