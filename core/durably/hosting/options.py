"""The settings of an endpoint behind HTTP, shared by the ASGI and the WSGI application and the adapters.

Owns their names, defaults and bounds, in one frozen value.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from durably.errors import ConfigurationError
from durably.protocol.manifest import ProtocolMode

__all__ = ["DEFAULT_HOSTING", "HostingOptions", "Unsigned"]


_DEFAULT_THREADS: Final = 32  # handlers in threads mostly wait, for a step or for the runtime; cores do not matter


class Unsigned(enum.Enum):
    """What happens to a request when the endpoint has no identity keys. With keys every request must be signed.

    Anyone who can reach an endpoint that accepts unsigned requests can run its handlers with a forged journal.
    """

    WARN = "warn"  # accept, and say so once
    ACCEPT = "accept"  # a private network, chosen on purpose
    LOOPBACK_ONLY = "loopback_only"  # accept from this machine, when no proxy stands between


@dataclass(frozen=True, slots=True)
class HostingOptions:
    """How an endpoint is served.

    Attributes:
        mode: Streaming or request-response; None decides per request by what the server can do.
        unsigned: What happens to requests when the endpoint has no identity keys.
        threads: Most `def` handlers that run at once in one process, 1 or more. Further ones queue.
        shutdown_grace: How long the end of the application waits for open attempts, 0 or more. Attempts that are
            cut are run again by the runtime.
        blocked_after: Report a handler that blocks the event loop this long; None never does. The setting is the
            process's: the last application made wins.
    """

    mode: ProtocolMode | None = None
    unsigned: Unsigned = Unsigned.WARN
    threads: int = _DEFAULT_THREADS
    shutdown_grace: timedelta = timedelta(seconds=3)
    blocked_after: timedelta | None = timedelta(seconds=1)

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigurationError: A number or duration is out of its bounds.
        """
        if self.threads < 1:
            raise ConfigurationError(f"`threads` must be 1 or more, not {self.threads}.")
        if self.shutdown_grace < timedelta(0):
            raise ConfigurationError(f"`shutdown_grace` must not be negative, not {self.shutdown_grace}.")
        if self.blocked_after is not None and self.blocked_after <= timedelta(0):
            raise ConfigurationError(f"`blocked_after` must be positive or None, not {self.blocked_after}.")


DEFAULT_HOSTING: Final = HostingOptions()
