"""The durable side of an endpoint: what runs on each attempt.

Owns the function that is registered as the handler, and the check that contexts are of the kind and the colour that
this handler gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from durably.annotations import plain_function
from durably.authoring.contexts import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.authoring.current import current_context
from durably.authoring.handlers import HandlerKind, ServiceKind
from durably.authoring.sync_contexts import (
    SyncContext,
    SyncObjectContext,
    SyncObjectSharedContext,
    SyncWorkflowContext,
    SyncWorkflowSharedContext,
)
from durably.errors import RegistrationError
from durably_fastapi.analysis import Declared, alternatives
from durably_fastapi.blocking_resolver import run_blocking
from durably_fastapi.dependencies import Division
from durably_fastapi.host import Host
from durably_fastapi.resolver import AttemptScope, run_async
from durably_fastapi.steps import keep_scope, make_handles

__all__ = ["Overrides", "check_contexts", "loop_of", "make_attempt", "overrides_of"]

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]

_CONTEXTS: Final[Mapping[tuple[ServiceKind, HandlerKind], tuple[type[Any], type[Any]]]] = {
    (ServiceKind.SERVICE, HandlerKind.PLAIN): (Context, SyncContext),
    (ServiceKind.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE): (ObjectContext, SyncObjectContext),
    (ServiceKind.VIRTUAL_OBJECT, HandlerKind.SHARED): (ObjectSharedContext, SyncObjectSharedContext),
    (ServiceKind.WORKFLOW, HandlerKind.WORKFLOW): (WorkflowContext, SyncWorkflowContext),
    (ServiceKind.WORKFLOW, HandlerKind.SHARED): (WorkflowSharedContext, SyncWorkflowSharedContext),
}


def check_contexts(
    declared: Iterable[Declared], service_kind: ServiceKind, handler_kind: HandlerKind, *, is_async: bool
) -> None:
    """Refuse contexts, at any depth, that such a handler does not get.

    Raises:
        RegistrationError: Names the parameter, and the context that the handler gets.
    """
    given, other = _CONTEXTS[(service_kind, handler_kind)]
    if not is_async:
        given, other = other, given
    # What runs a workflow may ask for all that its shared handlers may.
    also = {WorkflowContext: WorkflowSharedContext, SyncWorkflowContext: SyncWorkflowSharedContext}.get(given, given)
    for each in declared:
        asked = [one for one in alternatives(each.type) if isinstance(one, type)]
        if any(issubclass(given, one) or issubclass(also, one) for one in asked):
            continue
        asks = next(one.__name__ for one in asked if issubclass(one, (Context, SyncContext)))
        is_other_colour = any(issubclass(one, SyncContext if is_async else Context) for one in asked)
        why = (
            f"which a{'n `async def`' if is_async else ' `def`'} endpoint cannot use"
            if is_other_colour
            else f"but the endpoint's context is a {given.__name__}"
        )
        raise RegistrationError(
            f"{each} is a {asks}, {why}.",
            hint=f"Annotate it as {given.__name__}"
            + (f", or write the endpoint as `{'def' if is_async else 'async def'}`." if is_other_colour else _UNLESS),
        )


_UNLESS: Final = "; key='…' makes a virtual object of the endpoint, workflow=True a workflow."


def overrides_of(host: Host | None) -> Overrides:
    """Give the dependency overrides of an application as they are now."""
    app = None if host is None else host.app
    return {} if app is None else app.dependency_overrides


def loop_of(host: Host | None) -> asyncio.AbstractEventLoop | None:
    """Give the event loop that an application is served on; None while nobody knows."""
    return None if host is None else host.loop


def make_attempt(function: Callable[..., Any], division: Division, host: Host, *, is_async: bool) -> Callable[..., Any]:
    """Make the handler's function: it takes the context and the payload's values."""
    arguments = division.arguments

    def begin(context: Any, values: Mapping[str, Any]) -> AttemptScope:
        scope = AttemptScope(context, values, overrides_of(host), make_handles(arguments))
        keep_scope(current_context(), scope, arguments)
        return scope

    async def attempt_async(context: Any, values: Mapping[str, Any]) -> Any:
        return await run_async(function, arguments, begin(context, values))

    def attempt_blocking(context: Any, values: Mapping[str, Any]) -> Any:
        return run_blocking(function, arguments, begin(context, values), lambda: loop_of(host))

    attempt: Any = attempt_async if is_async else attempt_blocking
    target = plain_function(function)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(attempt, name, getattr(target, name, None))
    attempt.__annotations__ = {"context": Any, "values": Any, "return": Any}
    return attempt
