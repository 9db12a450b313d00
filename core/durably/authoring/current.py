"""Which attempt the running code belongs to, and data that extensions keep with it.

Owns the two context variables: the attempt's context, and the mark that code runs inside a durable
step. Tasks and threads that copy the context variables inherit both.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from durably.errors import NotInHandlerError

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = [
    "clear_extension_data",
    "current_attempt",
    "current_context",
    "extension_data_of",
    "get_extension_data",
    "in_step",
    "set_extension_data",
]

current_attempt: ContextVar[Context | None] = ContextVar("durably_current_attempt", default=None)
"""The context of the attempt that runs here, or None."""

in_step: ContextVar[bool] = ContextVar("durably_in_step", default=False)
"""True inside the action of a durable step, where tasks are the step's own business."""


def current_context() -> Context:
    """Give the context of the handler that runs here, at any depth below it.

    In a `def` handler this is the context whose operations return futures, the one that
    `SyncContext.start` gives.

    Raises:
        NotInHandlerError: No handler runs in this task or thread.

    Source: ours.
    """
    context = current_attempt.get()
    if context is None:
        raise NotInHandlerError(
            "There is no current context: this code does not run inside a handler.",
            hint="Call it from a handler, or pass the context along to threads you start yourself.",
        )
    return context


def set_extension_data(ctx: Context, key: str, value: Any) -> None:
    """Keep `value` under `key` for the rest of this attempt.

    A value with a `__close__` method (plain or async) is closed when the attempt ends. The data is
    not journaled: the next attempt starts with none.

    Source: ours, after the `extensions` module of the Python peer.
    """
    extension_data_of(ctx)[key] = value


def get_extension_data(ctx: Context, key: str) -> Any:
    """Give what `set_extension_data` kept under `key`, or None."""
    return extension_data_of(ctx).get(key)


def clear_extension_data(ctx: Context, key: str) -> None:
    """Forget what is kept under `key`, without closing it; nothing happens when there is none."""
    extension_data_of(ctx).pop(key, None)


def extension_data_of(ctx: Context) -> dict[str, Any]:
    """Give the attempt's extension data, made on first use."""
    data = ctx.extension_data
    if data is None:
        data = ctx.extension_data = {}
    return data
