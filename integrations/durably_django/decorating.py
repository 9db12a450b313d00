"""`@durable`: making a view durable.

Owns the registration of function views: the function becomes a durable handler, and an edge function takes its place
in the URL configuration. Methods of class-based views are marked here and completed in `classes`, once their class is
known.

| options | service | handler |
|---|---|---|
| none | after the module: `shop.views` is `shop`, `shop.views.orders` is `orders` | the view's name |
| `key="order_id"` | a virtual object, `shop_by_order_id` | the view's name |
| `workflow=True` | a workflow, named after the view | `run` |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar, Unpack, overload

from asgiref.sync import markcoroutinefunction
from django.db import connections

from durably.annotations import plain_function
from durably.authoring.handlers import Handler, attach_handler
from durably.errors import RegistrationError
from durably.web.making import HandlerKeywords
from durably.web.naming import EndpointOptions, Naming, function_name, service_for
from durably_django.answers import ResponseSerde
from durably_django.attempts import find_context, is_async, make_attempt
from durably_django.edge import call_async, call_blocking
from durably_django.runtime import runtime
from durably_django.stored_request import StoredRequestSerde

__all__ = ["PENDING", "durable", "is_durable", "is_method", "module_service", "register"]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

PENDING: Final = "__durably_pending__"
"""Marks a method whose class is not known yet; holds its options."""

_DURABLE: Final = "__durably_view__"
"""Marks what stands in the URL configuration for a durable function."""

_VIEWS: Final = "views"


@overload
def durable(function: FunctionT, /) -> FunctionT: ...


@overload
def durable(
    *,
    service: str | None = None,
    name: str | None = None,
    key: str | None = None,
    shared: bool = False,
    workflow: bool = False,
    **handler: Unpack[HandlerKeywords],
) -> Callable[[FunctionT], FunctionT]: ...


def durable(
    function: Callable[..., Any] | None = None,
    /,
    *,
    service: str | None = None,
    name: str | None = None,
    key: str | None = None,
    shared: bool = False,
    workflow: bool = False,
    **handler: Unpack[HandlerKeywords],
) -> Any:
    """Make a view durable, `def` or `async def`: a function, or a method of a class-based view.

    Stands innermost: `@login_required`, `@require_POST` and the like above it look at the HTTP request when it comes
    in, not on each attempt. On a class, `@method_decorator(durable, name="post")`.

    Args:
        function: The view.
        service: Name of the service; after the module unless given.
        name: Name of the handler; the view's unless given.
        key: The route's value that is the key of a virtual object, or of the workflow.
        shared: Runs beside the other views of its key.
        workflow: Runs once for each key; without `key` the `Idempotency-Key` is the key, else a random one.
        handler: Options of the handler, as for `Service.handler`.

    Raises:
        RegistrationError: The view or an option cannot work; the text says which and why.
        ConfigurationError: An option has a wrong type.
    """
    options = EndpointOptions(
        service=service, name=name, key=key, shared=shared, workflow=workflow, handler=dict(handler)
    )

    def decorate(decorated: Callable[..., Any]) -> Callable[..., Any]:
        return _decorate(decorated, options)

    return decorate if function is None else decorate(function)


def _decorate(function: Callable[..., Any], options: EndpointOptions) -> Callable[..., Any]:
    from durably_django.classes import edge_of_bound, make_pending

    if isinstance(function, type):
        raise RegistrationError(
            f"{function.__name__} is a class.", hint='Write @method_decorator(durable, name="post"), or decorate post.'
        )
    bound = edge_of_bound(function)
    if bound is not None:
        return bound
    if is_method(function):
        return make_pending(function, options)
    return _decorate_view(function, options)


def is_durable(view: Any) -> bool:
    """Say whether this is what `@durable` made of a function."""
    return getattr(view, "__dict__", {}).get(_DURABLE) is True


def is_method(function: Callable[..., Any]) -> bool:
    """Say whether this is a method of a class-based view, or stands for one in `method_decorator`."""
    if getattr(function, "__module__", "") == "django.utils.decorators":
        return True
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return False
    return first == "self"


def _decorate_view(view: Callable[..., Any], options: EndpointOptions) -> Callable[..., Any]:
    name = options.name or (None if options.workflow else function_name(view))
    handler = register(view, view, replace(options, name=name), is_async=is_async(view))
    key = options.key
    edge: Any
    if handler.is_async:

        async def edge_async(request: Any, *args: Any, **kwargs: Any) -> Any:
            return await call_async(handler, key, request, args, kwargs)

        edge = markcoroutinefunction(edge_async)
    else:

        def edge_blocking(request: Any, *args: Any, **kwargs: Any) -> Any:
            return call_blocking(handler, key, request, args, kwargs)

        edge = edge_blocking
    target = plain_function(view)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(edge, attribute, getattr(target, attribute, None))
    edge.__dict__.update(getattr(view, "__dict__", {}))
    # The view's transactions begin on attempts; one around the call would only hold a connection while it waits.
    edge._non_atomic_requests = set(connections)
    setattr(edge, _DURABLE, True)
    made: Callable[..., Any] = attach_handler(edge, handler)
    return made


def register(
    call: Callable[..., Any], view: Callable[..., Any], options: EndpointOptions, *, is_async: bool
) -> Handler:
    """Register a view as a durable handler.

    Args:
        call: Takes the request and the values of the route, and runs the view.
        view: The function or method as it was written.
        options: What the decorator was told; the name is set, unless it is a workflow.
        is_async: Whether `call` gives an awaitable.

    Raises:
        RegistrationError: The view cannot work, or its name is taken.
    """
    where = f"View {getattr(plain_function(view), '__qualname__', repr(view))}"
    _check(view, options, where)
    if options.service is None and not options.workflow:
        name = module_service(view)
        options = replace(options, service=name if options.key is None else f"{name}_by_{options.key}")
    naming = Naming.of(view, options)
    attempt = make_attempt(call, view, find_context(view), is_async=is_async)
    service, add = service_for(runtime.endpoint, naming, where)
    try:
        add(attempt, StoredRequestSerde(), ResponseSerde(naming.target), dict(options.handler))
    except TypeError as error:
        raise RegistrationError(
            f"{where}: {error}.", hint="Options are those of the service's handler decorator."
        ) from error
    return service.handlers[naming.handler]


def module_service(view: Callable[..., Any]) -> str:
    """Give the name that a view's module lends to its service."""
    parts = str(getattr(plain_function(view), "__module__", "") or "").split(".")
    if len(parts) > 1 and parts[-1] == _VIEWS:
        parts.pop()
    return parts[-1] or "views"


def _check(view: Callable[..., Any], options: EndpointOptions, where: str) -> None:
    target = plain_function(view)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise RegistrationError(f"{where} is a generator, which cannot be recorded.", hint="Return a response.")
    if options.shared and (options.key is None or options.workflow):
        raise RegistrationError(
            f"{where}: shared=True says that it runs beside others of its key, but it has none of a virtual object.",
            hint="Give it key='…' without workflow=True, or leave shared out.",
        )
    parameters = inspect.signature(view).parameters
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    if options.key is not None and options.key not in parameters and not takes_any:
        raise RegistrationError(
            f"{where}: key={options.key!r} is none of its parameters.", hint=f"It has: {', '.join(parameters)}."
        )
