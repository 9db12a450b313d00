"""The contexts, and what their operations take and give.

Owns only `KeyValueStore`, a description of what objects and workflows can do with their state; the contexts are
made in `durably.authoring`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, runtime_checkable

from durably.authoring.calls import HandlerType
from durably.authoring.contexts import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.authoring.futures import (
    RestateDurableCallFuture,
    RestateDurableFuture,
    RestateDurableSleepFuture,
    SendHandle,
)
from durably.authoring.promises import DurablePromise
from durably.authoring.request import AttemptFinishedEvent, Request
from durably.authoring.runs import RunAction, RunOptions
from durably.authoring.scopes import ScopedContext
from durably.serde import DEFAULT_SERDE, Serde

__all__ = [
    "AttemptFinishedEvent",
    "Context",
    "DurablePromise",
    "HandlerType",
    "KeyValueStore",
    "ObjectContext",
    "ObjectSharedContext",
    "Request",
    "RestateDurableCallFuture",
    "RestateDurableFuture",
    "RestateDurableSleepFuture",
    "RunAction",
    "RunOptions",
    "ScopedContext",
    "SendHandle",
    "WorkflowContext",
    "WorkflowSharedContext",
]


@runtime_checkable
class KeyValueStore(Protocol):
    """State under a key, as the contexts of exclusive handlers and of workflow runs have it."""

    def get(
        self, name: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None, entry_name: str | None = None
    ) -> Awaitable[Any]:
        """Read the value of `name`, or None."""
        ...

    def state_keys(self, entry_name: str | None = None) -> Awaitable[list[str]]:
        """List the names that have a value."""
        ...

    def set(self, name: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE, entry_name: str | None = None) -> None:
        """Write the value of `name`."""
        ...

    def clear(self, name: str, entry_name: str | None = None) -> None:
        """Remove the value of `name`."""
        ...

    def clear_all(self, entry_name: str | None = None) -> None:
        """Remove every value."""
        ...
