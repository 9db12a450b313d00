"""`Depends` in the handlers of services, also of those that never see an application.

Owns the binder that `authoring.signatures` asks for parameters beyond context and input, and the knowledge of which
application a handler belongs to, for its dependency overrides.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from typing import Any, Final

from durably.annotations import plain_function
from durably.authoring.current import current_context
from durably.authoring.handlers import Handler, HandlerKind, ServiceKind
from durably.authoring.operations import Operations
from durably.authoring.signatures import BoundParameter, HandlerSignature, add_binder
from durably.authoring.step_managers import StepManagerFactory
from durably_fastapi.analysis import depends_of, read_parameters
from durably_fastapi.attempts import Overrides, check_contexts, loop_of, overrides_of
from durably_fastapi.blocking_resolver import run_blocking
from durably_fastapi.dependencies import divide_handler
from durably_fastapi.host import Host
from durably_fastapi.resolver import AttemptScope, run_async
from durably_fastapi.steps import StepResources, keep_scope, make_handles

__all__ = ["DependencyBinder", "install_binder", "remember_host"]

_hosts: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def remember_host(host: Host) -> None:
    """Let handlers that `host.endpoint` serves find its application's overrides. The host is not kept alive."""
    _hosts.add(host)


def _host_of(handler: Handler) -> Host | None:
    """Find the application that serves a handler."""
    for host in tuple(_hosts):
        if host.endpoint.find(handler.service_name, handler.name) is handler:
            found: Host = host
            return found
    return None


def _overrides(context: Operations) -> Overrides:
    return overrides_of(_host_of(context.handler))


def _loop() -> asyncio.AbstractEventLoop | None:
    return loop_of(_host_of(current_context().handler))


class DependencyBinder:
    """Supplies the parameters of handlers that have `Depends`, and the resources of steps."""

    def claims(self, parameter: Parameter, annotation: Any) -> bool:
        """Say whether a parameter has `Depends`, as its default or in its annotation."""
        return depends_of(parameter.default, annotation) is not None

    def bind(
        self, function: Callable[..., Any], signature: HandlerSignature, claimed: tuple[BoundParameter, ...]
    ) -> Callable[..., Any]:
        """Give a function of context and input that resolves the rest on each attempt.

        Raises:
            RegistrationError: A dependency needs an HTTP call, or another context.
        """
        names = {each.parameter.name for each in claimed}
        division = divide_handler(read_parameters(function, names))
        service_kind, handler_kind = _KINDS[signature.context_class.__name__.removeprefix("Sync")]
        check_contexts(division.contexts(), service_kind, handler_kind, is_async=signature.is_async)
        arguments = division.arguments

        def begin(context: Any) -> AttemptScope:
            current = current_context()
            scope = AttemptScope(context, {}, _overrides(current), make_handles(arguments))
            keep_scope(current, scope, arguments)
            return scope

        async def bound_async(context: Any, *values: Any) -> Any:
            return await run_async(functools.partial(function, context, *values), arguments, begin(context))

        def bound_blocking(context: Any, *values: Any) -> Any:
            return run_blocking(functools.partial(function, context, *values), arguments, begin(context), _loop)

        bound: Callable[..., Any] = bound_async if signature.is_async else bound_blocking
        bound.__name__ = getattr(plain_function(function), "__name__", bound.__name__)
        return bound

    def step_managers(self, function: Callable[..., Any], signature: HandlerSignature) -> Sequence[StepManagerFactory]:
        """Give what opens the resources of steps; every handler's steps may ask for dependencies."""
        return (_STEP_RESOURCES,)


_KINDS: Final[Mapping[str, tuple[ServiceKind, HandlerKind]]] = {
    "Context": (ServiceKind.SERVICE, HandlerKind.PLAIN),
    "ObjectContext": (ServiceKind.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE),
    "ObjectSharedContext": (ServiceKind.VIRTUAL_OBJECT, HandlerKind.SHARED),
    "WorkflowContext": (ServiceKind.WORKFLOW, HandlerKind.WORKFLOW),
    "WorkflowSharedContext": (ServiceKind.WORKFLOW, HandlerKind.SHARED),
}

_STEP_RESOURCES: Final = StepResources(_overrides, _loop)
_BINDER: Final = DependencyBinder()


def install_binder() -> None:
    """Let handlers that are registered from now on take `Depends`; done when `durably_fastapi` is imported."""
    add_binder(_BINDER)
