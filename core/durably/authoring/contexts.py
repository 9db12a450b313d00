"""What a handler is given: the durable operations of one attempt.

Owns the five contexts of `async def` handlers. Each operation is a system call to the machine, made
at once and in the order the handler makes it, and a future for its result. `def` handlers have the
same operations through `durably.authoring.sync_contexts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from durably.authoring.calls import Calls
from durably.authoring.futures import DurableFuture
from durably.authoring.invocations import Invocations
from durably.authoring.misplaced import context_schema
from durably.authoring.operations import DEFAULT_SERDE
from durably.authoring.promises import DurablePromise
from durably.authoring.signals import Signals
from durably.authoring.steps import Steps
from durably.errors import ProtocolError
from durably.serde import Serde, resolve_serde

__all__ = [
    "Context",
    "ObjectContext",
    "ObjectSharedContext",
    "WorkflowContext",
    "WorkflowSharedContext",
]

T = TypeVar("T")


class Context(Steps, Signals, Calls, Invocations):
    """The context of a plain service's handler, and what all contexts share.

    Source: the authoring API of the Python peer; entries are those of the service protocol.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell a framework that takes a context for a part of the request that it is none."""
        return context_schema(cls, source, handler)


class ObjectSharedContext(Context):
    """The context of a virtual object's shared handler: reads the state of its key."""

    __slots__ = ()

    def key(self) -> str:
        """Give the key of this object or workflow."""
        return self._object_key

    def get(
        self,
        name: str,
        serde: Serde[T] = DEFAULT_SERDE,
        type_hint: type[T] | None = None,
        entry_name: str | None = None,
    ) -> DurableFuture[T | None]:
        """Read a state key; None when it is not set.

        Args:
            name: The state key.
            serde: How the value is read.
            type_hint: Type of the value, for the default serde.
            entry_name: Label of the journal entry.

        Source: service protocol, GetEagerState or GetLazyState.
        """
        try:
            handle = self.machine.sys_get_state(name, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def state_keys(self, entry_name: str | None = None) -> DurableFuture[list[str]]:
        """Give the names of all state keys that are set.

        Source: service protocol, GetEagerStateKeys or GetLazyStateKeys.
        """
        try:
            handle = self.machine.sys_get_state_keys(entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle)


class ObjectContext(ObjectSharedContext):
    """The context of a virtual object's exclusive handler: reads and writes the state of its key."""

    __slots__ = ()

    def set(self, name: str, value: T, serde: Serde[T] = DEFAULT_SERDE, entry_name: str | None = None) -> None:
        """Set a state key. Later reads of this handler see it at once.

        Source: service protocol, SetStateCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_set_state(name, payload, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error

    def clear(self, name: str, entry_name: str | None = None) -> None:
        """Remove a state key; nothing happens when it is not set."""
        try:
            self.machine.sys_clear_state(name, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error

    def clear_all(self, entry_name: str | None = None) -> None:
        """Remove all state keys."""
        try:
            self.machine.sys_clear_all_state(entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error


class WorkflowSharedContext(ObjectSharedContext):
    """The context of a workflow's shared handler: reads its state, completes its promises."""

    __slots__ = ()

    def promise(
        self, name: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return DurablePromise(name, serde, context=self, type_hint=type_hint)


class WorkflowContext(ObjectContext):
    """The context of a workflow's run handler."""

    __slots__ = ()

    def promise(
        self, name: str, serde: Serde[T] = DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return DurablePromise(name, serde, context=self, type_hint=type_hint)
