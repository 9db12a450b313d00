"""What has to hold while a handler waits.

Owns the context variable through which an adapter is told: before a `def` handler waits or suspends, so that it can
refuse (a transaction is open), and when nothing is left to do but wait, so that it can give back what must not be held
meanwhile (a database connection). A step comes under the same rule, because its result is waited for.

An adapter sets the variable in a context manager around the attempt. Without one nothing is paid but a look.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

__all__ = ["WaitGuard", "wait_guard"]


class WaitGuard(Protocol):
    """Is asked in the thread that runs the handler; that of an `async def` handler is the event loop's."""

    def check(self) -> None:
        """Refuse by raising, before the attempt asks for what it waits for; of `def` handlers only."""
        ...

    def release(self) -> None:
        """Give back what must not be held: the handler is about to wait. Must not block an event loop."""
        ...


wait_guard: ContextVar[WaitGuard | None] = ContextVar("durably_wait_guard", default=None)
"""The guard of the attempt that runs here, or None."""
