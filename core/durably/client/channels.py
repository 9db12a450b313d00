"""What a client asks of the runtime, as values, and the two interfaces of those who carry it there.

Owns the seam between what a client offers (`client.durable`, `client.blocking_durable`: the same whichever way the
runtime is reached) and the ways to it: over HTTP (`client.aio`, `client.blocking`) or in the same process
(`durably.engine.client`, `durably.engine.blocking_client`). Bodies are as handlers see them; a channel applies the
codec.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from durably.client.interfaces import InvocationAnswer, InvocationRef, RestateClientSendHandle
from durably.client.targets import Call

__all__ = ["BlockingChannel", "Channel", "Ending", "Rejection", "Resolution"]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Completes what a handler waits for with a failure, whose status is 500."""

    reason: str


Resolution = bytes | Rejection
"""What completes an awakeable or a signal."""


class Ending(enum.Enum):
    """How an invocation is ended from outside; the values are what the admin API calls it."""

    CANCEL = "cancel"
    KILL = "kill"


class Channel(Protocol):
    """Carries what an awaiting client asks; `timeout` is for all of it, None waits as long as it takes.

    Every method raises `HttpError` where the runtime refuses or the handler failed, `ClientTimeoutError` at the end of
    `timeout`, and `UsageError` for what cannot be sent.
    """

    async def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        ...

    async def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start, and wait until that is stored."""
        ...

    async def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        ...

    async def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        ...

    async def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill."""
        ...

    async def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        ...

    async def complete_signal(
        self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None
    ) -> None:
        """Send a signal."""
        ...


class BlockingChannel(Protocol):
    """`Channel` for a client that blocks."""

    def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        ...

    def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start, and wait until that is stored."""
        ...

    def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        ...

    def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        ...

    def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill."""
        ...

    def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        ...

    def complete_signal(self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Send a signal."""
        ...
