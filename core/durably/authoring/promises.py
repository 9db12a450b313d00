"""Durable promises of workflows: set once, awaited from any handler of the same workflow."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from durably.authoring.futures import DurableFuture
from durably.authoring.operations import DEFAULT_SERDE
from durably.errors import ProtocolError, UsageError
from durably.machine import Failure
from durably.serde import Serde, resolve_serde

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = ["DurablePromise"]

T = TypeVar("T")


class DurablePromise(Generic[T]):
    """One promise of a workflow. Await it for its value, or use its operations.

    In a `def` handler call `.result()` on what the operations give.

    Source: service protocol, GetPromise, PeekPromise and CompletePromise.
    """

    __slots__ = ("_context", "_type_hint", "name", "serde")

    def __init__(
        self,
        name: str,
        serde: Serde[T] = DEFAULT_SERDE,
        *,
        context: Context | None = None,
        type_hint: type[T] | None = None,
    ) -> None:
        """Stand for the promise `name`; contexts make these."""
        self.name: str = name
        self.serde: Serde[T] = serde
        self._context = context
        self._type_hint = type_hint

    @property
    def _attempt(self) -> Context:
        if self._context is None:
            raise UsageError("This promise belongs to no invocation.", hint="Get promises with ctx.promise(name).")
        return self._context

    def value(self) -> DurableFuture[T]:
        """Wait until the promise is completed; a rejected one raises a `TerminalError`."""
        context = self._attempt
        try:
            handle = context.machine.sys_get_promise(self.name)
        except ProtocolError as error:
            raise context.broken(error) from error
        return DurableFuture(context, handle, self._deserialize())

    def peek(self) -> DurableFuture[T | None]:
        """Give the value if the promise is completed now, else None."""
        context = self._attempt
        try:
            handle = context.machine.sys_peek_promise(self.name)
        except ProtocolError as error:
            raise context.broken(error) from error
        return DurableFuture(context, handle, self._deserialize())

    def resolve(self, value: T) -> DurableFuture[None]:
        """Complete the promise. The future fails with a 409 when it was completed before."""
        context = self._attempt
        return self._complete(context, context.encoded(value, self.serde))

    def reject(self, message: str, code: int = 500) -> DurableFuture[None]:
        """Fail the promise. The future fails with a 409 when it was completed before."""
        return self._complete(self._attempt, Failure(code, message))

    def _complete(self, context: Context, result: bytes | Failure) -> DurableFuture[None]:
        try:
            handle = context.machine.sys_complete_promise(self.name, result)
        except ProtocolError as error:
            raise context.broken(error) from error
        return DurableFuture(context, handle)

    def _deserialize(self) -> Any:
        return resolve_serde(self.serde, self._type_hint).deserialize

    def __await__(self) -> Generator[Any, Any, T]:
        """Wait for the value."""
        return self.value().__await__()
