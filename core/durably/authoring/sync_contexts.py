"""The contexts of `def` handlers: the same operations, which block and give the value itself.

Owns the five synchronous contexts. Each method is the operation of the same name with `result()` at
its end; `start` has the operations themselves, whose futures may be combined with `durably.sync`.
Operations that give nothing (`set`, `resolve_awakeable`, …) are the same on both.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from uuid import UUID

from durably.authoring.contexts import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.authoring.futures import DurableFuture
from durably.authoring.misplaced import context_schema
from durably.authoring.promises import DurablePromise
from durably.authoring.request import Request
from durably.authoring.runs import DEFAULT_RUN_OPTIONS, RunOptions
from durably.authoring.sync_calls import SyncCalls, SyncSendHandle
from durably.serde import DefaultSerde, Serde

__all__ = [
    "SyncContext",
    "SyncDurablePromise",
    "SyncObjectContext",
    "SyncObjectSharedContext",
    "SyncSendHandle",
    "SyncWorkflowContext",
    "SyncWorkflowSharedContext",
]

T = TypeVar("T")
ParamsT = ParamSpec("ParamsT")

_DEFAULT_SERDE: Serde[Any] = DefaultSerde()


class SyncDurablePromise(Generic[T]):
    """One promise of a workflow, in a `def` handler."""

    __slots__ = ("_promise",)

    def __init__(self, promise: DurablePromise[T]) -> None:
        """Wrap the promise whose operations give futures."""
        self._promise = promise

    @property
    def name(self) -> str:
        """The promise's name."""
        return self._promise.name

    def value(self) -> T:
        """Block until the promise is completed; a rejected one raises a `TerminalError`."""
        return self._promise.value().result()

    def peek(self) -> T | None:
        """Give the value if the promise is completed now, else None."""
        return self._promise.peek().result()

    def resolve(self, value: T) -> None:
        """Complete the promise; a `TerminalError` 409 when it was completed before."""
        self._promise.resolve(value).result()

    def reject(self, message: str, code: int = 500) -> None:
        """Fail the promise; a `TerminalError` 409 when it was completed before."""
        self._promise.reject(message, code).result()


class SyncContext(SyncCalls):
    """The context of a plain service's `def` handler."""

    __slots__ = ()

    operations: type[Context] = Context

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Tell a framework that takes a context for a part of the request that it is none."""
        return context_schema(cls, source, handler)

    def request(self) -> Request:
        """Give the request that started the invocation."""
        return self.start.request()

    @property
    def invocation_id(self) -> str:
        """The invocation's id, `inv_1…`."""
        return self.start.invocation_id

    @property
    def is_replaying(self) -> bool:
        """Whether the handler is still following recorded entries. For logging, never for decisions."""
        return self.start.is_replaying

    def run(
        self,
        name: str,
        action: Callable[..., T],
        serde: Serde[T] = _DEFAULT_SERDE,
        max_attempts: int | None = None,
        max_retry_duration: timedelta | None = None,
        type_hint: type[T] | None = None,
        args: tuple[Any, ...] | None = None,
    ) -> T:
        """Run `action` as a durable step; see `Context.run`."""
        return self.start.run(name, action, serde, max_attempts, max_retry_duration, type_hint, args).result()

    def run_typed(
        self,
        name: str,
        action: Callable[ParamsT, T],
        options: RunOptions[T] = DEFAULT_RUN_OPTIONS,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> T:
        """Run `action(*args, **kwargs)` as a durable step; see `Context.run_typed`."""
        return self.start.run_typed(name, action, options, *args, **kwargs).result()

    def sleep(self, delta: timedelta, name: str | None = None) -> None:
        """Sleep durably; a worker is not held longer than the runtime keeps the request open."""
        self.start.sleep(delta, name).result()

    def random(self) -> Random:
        """Give the invocation's random generator: the same numbers on every attempt."""
        return self.start.random()

    def uuid(self) -> UUID:
        """Give a random UUID (version 4) that is the same on every attempt."""
        return self.start.uuid()

    def time(self) -> float:
        """Give the time, in seconds since the epoch, as it was when first asked for here."""
        return self.start.time().result()

    # Awakeables, signals, other invocations

    def awakeable(
        self, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> tuple[str, DurableFuture[T]]:
        """Make a promise that anyone who has its id can complete: its `result()` blocks."""
        return self.start.awakeable(serde, type_hint)

    def resolve_awakeable(self, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE) -> None:
        """Complete the awakeable with the id `name`."""
        self.start.resolve_awakeable(name, value, serde)

    def reject_awakeable(self, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Fail the awakeable with the id `name`."""
        self.start.reject_awakeable(name, failure_message, failure_code)

    def signal(self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None) -> T:
        """Block until the signal `name` of this invocation arrives."""
        return self.start.signal(name, serde, type_hint).result()

    def resolve_signal(self, invocation_id: str, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE) -> None:
        """Send the signal `name` with a value to another invocation."""
        self.start.resolve_signal(invocation_id, name, value, serde)

    def reject_signal(self, invocation_id: str, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Send the signal `name` with a failure."""
        self.start.reject_signal(invocation_id, name, failure_message, failure_code)

    def cancel_invocation(self, invocation_id: str) -> None:
        """Ask another invocation to cancel."""
        self.start.cancel_invocation(invocation_id)

    def cancellation(self) -> None:
        """Block until this invocation is cancelled, in handlers with `explicit_cancellation`."""
        self.start.cancellation().result()

    def attach_invocation(
        self, invocation_id: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> T:
        """Block until another invocation has its result."""
        return self.start.attach_invocation(invocation_id, serde, type_hint).result()

    def attach_workflow(
        self, workflow: str, key: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> T:
        """Block until the workflow `workflow` with that key has its result."""
        return self.start.attach_workflow(workflow, key, serde, type_hint).result()

    def attach_idempotent(
        self,
        service: str,
        handler: str,
        idempotency_key: str,
        key: str | None = None,
        serde: Serde[T] = _DEFAULT_SERDE,
        type_hint: type[T] | None = None,
    ) -> T:
        """Block until the invocation that was made with that idempotency key has its result."""
        return self.start.attach_idempotent(service, handler, idempotency_key, key, serde, type_hint).result()

    def invocation_output(
        self, invocation_id: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> T | None:
        """Give another invocation's result if it is completed now, else None."""
        return self.start.invocation_output(invocation_id, serde, type_hint).result()


class SyncObjectSharedContext(SyncContext):
    """The context of a virtual object's shared `def` handler."""

    __slots__ = ()

    operations: type[Context] = ObjectSharedContext

    if TYPE_CHECKING:

        @property
        def start(self) -> ObjectSharedContext:
            """The same operations, not waited for: they give futures with `result()`."""
            ...

    @property
    def _object(self) -> ObjectSharedContext:
        return self.start

    def key(self) -> str:
        """Give the key of this object or workflow."""
        return self._object.key()

    def get(
        self,
        name: str,
        serde: Serde[T] = _DEFAULT_SERDE,
        type_hint: type[T] | None = None,
        entry_name: str | None = None,
    ) -> T | None:
        """Read a state key; None when it is not set."""
        return self._object.get(name, serde, type_hint, entry_name).result()

    def state_keys(self, entry_name: str | None = None) -> list[str]:
        """Give the names of all state keys that are set."""
        return self._object.state_keys(entry_name).result()


class SyncObjectContext(SyncObjectSharedContext):
    """The context of a virtual object's exclusive `def` handler."""

    __slots__ = ()

    operations: type[Context] = ObjectContext

    if TYPE_CHECKING:

        @property
        def start(self) -> ObjectContext:
            """The same operations, not waited for: they give futures with `result()`."""
            ...

    @property
    def _writable(self) -> ObjectContext:
        return self.start

    def set(self, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE, entry_name: str | None = None) -> None:
        """Set a state key."""
        self._writable.set(name, value, serde, entry_name)

    def clear(self, name: str, entry_name: str | None = None) -> None:
        """Remove a state key; nothing happens when it is not set."""
        self._writable.clear(name, entry_name)

    def clear_all(self, entry_name: str | None = None) -> None:
        """Remove all state keys."""
        self._writable.clear_all(entry_name)


class SyncWorkflowSharedContext(SyncObjectSharedContext):
    """The context of a workflow's shared `def` handler."""

    __slots__ = ()

    operations: type[Context] = WorkflowSharedContext

    if TYPE_CHECKING:

        @property
        def start(self) -> WorkflowSharedContext:
            """The same operations, not waited for: they give futures with `result()`."""
            ...

    def promise(
        self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> SyncDurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return SyncDurablePromise(DurablePromise(name, serde, context=self.start, type_hint=type_hint))


class SyncWorkflowContext(SyncObjectContext):
    """The context of a workflow's run `def` handler."""

    __slots__ = ()

    operations: type[Context] = WorkflowContext

    if TYPE_CHECKING:

        @property
        def start(self) -> WorkflowContext:
            """The same operations, not waited for: they give futures with `result()`."""
            ...

    def promise(
        self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> SyncDurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return SyncDurablePromise(DurablePromise(name, serde, context=self.start, type_hint=type_hint))
