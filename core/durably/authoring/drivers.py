"""How contexts wait: what futures ask of a driver, and what a driver asks of its host.

A driver executes steps and waits; when to do which is the machine's decision. There are two:
`AsyncDriver` for handlers on an event loop, `BlockingDriver` for handlers on a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from durably.errors import SdkInternalException
from durably.machine import Progress

if TYPE_CHECKING:
    from durably.authoring.futures import DurableFuture, RunFuture

__all__ = ["ENDED_DRIVER", "AsyncChannel", "BlockingIO", "Disconnected", "Driver", "EndedDriver"]


class Disconnected(BaseException):
    """The runtime went away while the handler waited. Unwinds the attempt; the runtime tries again."""


class Driver(Protocol):
    """What contexts and futures need.

    Attributes:
        runs: Steps that may have to be executed, by their handle; contexts add, the driver takes.
    """

    runs: dict[int, RunFuture[Any]]

    def wait_for_one(self, future: DurableFuture[Any], progress: Progress) -> Generator[Any, Any, None]:
        """Wait for a future with a notification of its own, in the only task of an `async def` handler.

        Args:
            future: What is waited for.
            progress: What the machine has just answered for it.
        """
        ...

    def wait(self, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Wait for a future that is made of others, in the only task of an `async def` handler."""
        ...

    def wait_blocking(self, future: DurableFuture[Any]) -> None:
        """Wait until `future` is settled, in a `def` handler."""
        ...


class EndedDriver:
    """The driver of a context whose attempt is over: nothing is waited for any more."""

    def __init__(self) -> None:
        """Keep no steps."""
        self.runs: dict[int, RunFuture[Any]] = {}

    def wait_for_one(self, future: DurableFuture[Any], progress: Progress) -> Generator[Any, Any, None]:
        """Raise what ended the attempt."""
        raise SdkInternalException("The attempt is over; its context cannot be used any more.")

    def wait(self, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Raise what ended the attempt."""
        return self.wait_for_one(future, Progress.WAIT)

    def wait_blocking(self, future: DurableFuture[Any]) -> None:
        """Raise what ended the attempt."""
        self.wait_for_one(future, Progress.WAIT)


ENDED_DRIVER = EndedDriver()


class AsyncChannel(Protocol):
    """The connection of an attempt on an event loop; a host implements it.

    Attributes:
        is_lost: Whether the runtime went away.
        on_input: Called on the loop after input reached the machine while nobody was inside
            `exchange`, and after the connection was lost.
    """

    is_lost: bool
    on_input: Callable[[], None] | None

    async def flush(self) -> None:
        """Send what the machine has written."""
        ...

    async def exchange(self) -> None:
        """Flush, then return once the machine received input, or `wake` was called.

        Raises:
            Disconnected: The runtime went away.
        """
        ...

    def read_ahead(self) -> None:
        """Receive in the background from now on, and send what is written. Twice is harmless."""
        ...

    def wake(self) -> None:
        """Let `exchange` return."""
        ...


class BlockingIO(Protocol):
    """The connection of an attempt on a thread; a host implements it."""

    def send(self, data: bytes) -> None:
        """Send what the machine has written. May buffer where nobody reads before the end."""
        ...

    def receive(self) -> bytes | None:
        """Block until there is input: bytes, b"" after `wake`, None at the end of the request.

        Raises:
            Disconnected: The runtime went away.
        """
        ...

    def wake(self) -> None:
        """Let `receive` return b"". Called from other threads."""
        ...

    def submit(self, function: Callable[[], None]) -> None:
        """Run `function` on another thread, with the context variables of the caller."""
        ...

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the runtime goes away, from any thread; at once if it has gone."""
        ...
