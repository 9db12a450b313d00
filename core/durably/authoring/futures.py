"""Results that a journal will hold: what every context operation returns.

Owns the one future family. In an `async def` handler a future is awaited; in a `def` handler
`result()` blocks. Either way the value is taken from the machine once, decoded, and kept, so that a
future can be waited for any number of times.

A future never decides when to wait or suspend: it asks the attempt's driver, which asks the machine.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator
from contextvars import Context as Variables
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from zlib import crc32

from durably.errors import LocalProtocolError, ProtocolError, RunFailedError, TerminalError
from durably.machine import AwaitTree, Failure, Progress

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.authoring.operations import Operations
    from durably.machine import Machine, RunRetryPolicy
    from durably.serde import Serde

__all__ = [
    "DurableFuture",
    "DurableTimeoutError",
    "RecordedRunFuture",
    "RestateDurableCallFuture",
    "RestateDurableFuture",
    "RestateDurableSleepFuture",
    "RunFuture",
    "SendHandle",
    "Settled",
    "await_in_turn",
    "closed_misuse",
]

T = TypeVar("T")
MappedT = TypeVar("MappedT")

_READY = Progress.READY


class DurableTimeoutError(TerminalError):
    """`or_timeout` ran out before the future was completed. Terminal unless the handler catches it."""

    def __init__(self, message: str = "the durable wait timed out", status_code: int = 408) -> None:
        """Use the status of a request timeout."""
        super().__init__(message, status_code)


class Settled(enum.Enum):
    """Whether a future has its outcome."""

    PENDING = 0
    VALUE = 1
    ERROR = 2


_PENDING, _VALUE, _ERROR = Settled.PENDING, Settled.VALUE, Settled.ERROR


class DurableFuture(Generic[T]):
    """The result of one durable operation, now or later.

    Attributes:
        handle: What the machine calls it; meaningless for futures that are made of others.

    `await` it in an `async def` handler, call `result()` in a `def` handler. It may be awaited by
    several tasks and any number of times.

    Source: ours; the outcome is a completion or signal notification of the service protocol.
    """

    __slots__ = ("_context", "_decode", "_outcome", "_state", "handle")

    def __init__(self, context: Operations, handle: int | str, decode: Callable[[bytes], Any] | None = None) -> None:
        """Stand for the notification `handle` of the attempt that `context` belongs to."""
        self._context = context
        self.handle: Any = handle  # an int, or the name of a signal; a subclass knows which
        self._decode = decode
        self._state = _PENDING
        self._outcome: Any = None

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the outcome; give the value or raise the failure.

        Raises:
            TerminalError: The operation failed for good. The handler may go on.
            SuspendedException: The attempt stops here; let it pass.
        """
        if self._state is _PENDING:
            context = self._context
            if context.to_decode:  # a wait that was cancelled left its value undecoded
                yield from await_in_turn(context, self)
            elif context.turns is None:
                try:
                    progress = context.machine.await_one(self.handle)
                except ProtocolError as error:
                    raise context.broken(error) from error
                if progress is _READY and context.codec is None:
                    self.settle(context.machine)
                else:
                    yield from context.driver.wait_for_one(self, progress)
            else:
                yield from context.turns.wait(self)
        if self._state is _VALUE:
            outcome: T = self._outcome
            return outcome
        raise self._outcome

    def __hash__(self) -> int:
        """Give the same number on every attempt, so that sets of futures are iterated in the same order.

        `asyncio.as_completed` and `asyncio.wait` put what they are given into sets.
        """
        handle = self.handle
        return handle if type(handle) is int else crc32(str(handle).encode())

    def result(self) -> T:
        """Block until the outcome is there, in a `def` handler; give the value or raise the failure.

        Raises:
            TerminalError: The operation failed for good. The handler may go on.
            UsageError: Called in an `async def` handler, which would block its event loop.
            SuspendedException: The attempt stops here; let it pass.
        """
        if self._state is _PENDING:
            self._context.driver.wait_blocking(self)
        if self._state is _VALUE:
            outcome: T = self._outcome
            return outcome
        raise self._outcome

    def done(self) -> bool:
        """Tell, without waiting, whether the outcome has been delivered to this attempt.

        The answer is the same on every replay: a notification counts once some wait of the handler
        has reached its place in the journal.
        """
        return self.poll()

    def is_completed(self) -> bool:
        """Tell the same as `done()`."""
        return self.poll()

    def map(
        self,
        on_value: Callable[[T], MappedT],
        on_error: Callable[[TerminalError], MappedT] | None = None,
    ) -> DurableFuture[MappedT]:
        """Give a future of `on_value(value)`, computed once, when it is first needed.

        Args:
            on_value: A plain function without effects: it runs again on every replay.
            on_error: Turns a terminal failure into a value; without it the failure passes through.
        """
        from durably.authoring.combined import MappedFuture

        return MappedFuture(self, on_value, on_error)

    def or_timeout(self, delta: timedelta) -> DurableFuture[T]:
        """Give a future that fails with `DurableTimeoutError` unless this one completes within `delta`.

        The timer is durable and starts now. The operation itself is not cancelled when it runs out.
        """
        from durably.authoring.combined import with_timeout

        return with_timeout(self, cast("Context", self._context).sleep(delta))

    # What drivers and combinators use.

    def poll(self) -> bool:
        """Settle from what the machine has delivered, and tell whether the outcome is there."""
        if self._state is not _PENDING:
            return True
        machine = self._context.machine
        if not machine.is_completed(self.handle):
            return False
        self.settle(machine)
        return self._state is not _PENDING  # the codec may still have to decode it

    def settle(self, machine: Machine) -> None:
        """Take the notification, which must be delivered, and keep what it means."""
        result = machine.take(self.handle)
        if type(result) is bytes:
            decode = self._decode
            if decode is None:
                self._outcome = result
            elif self._context.codec is not None:
                self._context.decode_later(self, result, decode)
                return
            else:
                try:
                    self._outcome = decode(result)
                except Exception as error:
                    self.set_error(error)
                    return
            self._state = _VALUE
        elif type(result) is Failure:
            self._outcome = self.error_of(result)
            self._state = _ERROR
        else:
            self._outcome = list(result) if type(result) is tuple else result
            self._state = _VALUE

    def error_of(self, failure: Failure) -> TerminalError:
        """Give the error that this failure is for the handler."""
        return TerminalError(failure.message, failure.code, dict(failure.metadata) or None)

    def pending_tree(self) -> AwaitTree:
        """Give what is still waited for; only meaningful while pending."""
        tree: AwaitTree = self.handle
        return tree

    @property
    def context(self) -> Operations:
        """The context that made this future."""
        return self._context

    @property
    def failed(self) -> bool:
        """Whether the outcome is an error; only meaningful once `poll()` is true."""
        return self._state is _ERROR

    @property
    def outcome(self) -> Any:
        """The value or the error; only meaningful once `poll()` is true."""
        return self._outcome

    def set_value(self, value: T) -> None:
        """Settle with a value that did not come from a notification."""
        self._outcome = value
        self._state = _VALUE

    def set_error(self, error: BaseException) -> None:
        """Settle with an error that did not come from a notification."""
        self._outcome = error
        self._state = _ERROR

    @property
    def is_pending(self) -> bool:
        """Whether no outcome has been kept yet."""
        return self._state is _PENDING


RestateDurableFuture = DurableFuture


class RestateDurableSleepFuture(DurableFuture[None]):
    """A durable timer.

    Source: service protocol, SleepCommand and its completion.
    """

    __slots__ = ()


class RecordedRunFuture(DurableFuture[T]):
    """A durable step whose completion is recorded: its action does not run."""

    __slots__ = ()

    def error_of(self, failure: Failure) -> TerminalError:
        """Give a step failure, as `RunFuture` does; what the action raised is no longer known."""
        return RunFailedError(failure.message, failure.code, dict(failure.metadata) or None)


class RunFuture(DurableFuture[T]):
    """A durable step: its action runs when the future is first waited for, unless it is recorded."""

    __slots__ = ("action", "arguments", "cause", "keywords", "name", "policy", "serialize", "variables")

    def __init__(
        self,
        context: Operations,
        handle: int,
        serde: Serde[T],
        name: str,
        action: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        policy: RunRetryPolicy,
    ) -> None:
        """Keep everything that one execution of the action needs."""
        self._context = context
        self.handle = handle
        self._decode = serde.deserialize
        self._state = _PENDING
        self._outcome: Any = None
        self.serialize: Callable[[T | None], bytes] = serde.serialize
        self.name: str = name
        self.action: Callable[..., Any] = action
        self.arguments: tuple[Any, ...] = arguments
        self.keywords: dict[str, Any] = keywords
        self.policy: RunRetryPolicy = policy
        self.cause: BaseException | None = None
        self.variables: Variables | None = None

    def error_of(self, failure: Failure) -> TerminalError:
        """Give a step failure, caused by what the action raised when that happened in this attempt."""
        error = RunFailedError(failure.message, failure.code, dict(failure.metadata) or None)
        error.__cause__ = self.cause
        return error


class RestateDurableCallFuture(DurableFuture[T]):
    """The result of a call to another handler."""

    __slots__ = ("_invocation_id",)

    def __init__(
        self, context: Operations, handle: int, decode: Callable[[bytes], Any] | None, invocation_id_handle: int
    ) -> None:
        """Stand for the call's two notifications."""
        super().__init__(context, handle, decode)
        self._invocation_id: DurableFuture[str] = DurableFuture(context, invocation_id_handle)

    @property
    def invocation_id_future(self) -> DurableFuture[str]:
        """The callee's invocation id as a future of its own."""
        return self._invocation_id

    async def invocation_id(self) -> str:
        """Give the callee's invocation id; in a `def` handler use `invocation_id_future.result()`."""
        return await self._invocation_id

    async def cancel_invocation(self) -> None:
        """Ask the callee to cancel; its result, if it fails with that, arrives at this future."""
        cast("Context", self._context).cancel_invocation(await self._invocation_id)


class SendHandle:
    """A one-way call that has been recorded."""

    __slots__ = ("_context", "_invocation_id")

    def __init__(self, context: Operations, handle: int) -> None:
        """Stand for the invocation id notification of a one-way call."""
        self._context = context
        self._invocation_id: DurableFuture[str] = DurableFuture(context, handle)

    @property
    def invocation_id_future(self) -> DurableFuture[str]:
        """The callee's invocation id as a future of its own."""
        return self._invocation_id

    async def invocation_id(self) -> str:
        """Give the callee's invocation id."""
        return await self._invocation_id

    async def cancel_invocation(self) -> None:
        """Ask the callee to cancel."""
        cast("Context", self._context).cancel_invocation(await self._invocation_id)


def await_in_turn(context: Operations, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
    """Wait until `future` is settled, in the way that fits how many tasks the handler has."""
    return context.driver.wait(future) if context.turns is None else context.turns.wait(future)


def closed_misuse(error: ProtocolError) -> bool:
    """Tell whether `error` only says that the machine is closed already."""
    return isinstance(error, LocalProtocolError) and error.code == 598
