"""Durable methods of class-based views.

Owns the way from a marked method to its handler. A method is decorated before its class exists, and
`method_decorator` decorates anew on each call, so the registration waits until the URL configuration names the class.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from asgiref.sync import markcoroutinefunction
from django.db import connections

from durably.authoring.handlers import Handler
from durably.errors import RegistrationError, UsageError
from durably.web.naming import EndpointOptions
from durably_django.attempts import find_context, is_async
from durably_django.decorating import PENDING, module_service, register
from durably_django.edge import call_async, call_blocking

__all__ = ["edge_of_bound", "has_durable_methods", "make_pending", "register_methods"]

_registered: Final[dict[tuple[type[Any], str], tuple[Handler, EndpointOptions]]] = {}
"""The handlers of methods, by concrete class and name."""


def make_pending(method: Callable[..., Any], options: EndpointOptions) -> Callable[..., Any]:
    """Give what stands in the class from now on: it calls the handler that the method will have."""
    if is_async(method):

        async def call_method(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            handler, found = _find(self, method)
            return await call_async(handler, found.key, request, args, kwargs)

        edge: Any = markcoroutinefunction(call_method)
    else:

        def edge_blocking(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            handler, found = _find(self, method)
            return call_blocking(handler, found.key, request, args, kwargs)

        edge = edge_blocking
    functools.update_wrapper(edge, method)
    setattr(edge, PENDING, options)
    made: Callable[..., Any] = edge
    return made


def edge_of_bound(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Give the edge of what `method_decorator` decorates on each call; None if this is something else."""
    if not isinstance(function, functools.partial):
        return None
    method: Any = function.func  # pyright: ignore[reportUnknownMemberType]
    if not inspect.ismethod(method):
        return None
    handler, options = _find(method.__self__, method.__func__)

    def edge(request: Any, *args: Any, **kwargs: Any) -> Any:
        call = call_async if handler.is_async else call_blocking
        return call(handler, options.key, request, args, kwargs)

    return edge


def _find(view: Any, method: Any) -> tuple[Handler, EndpointOptions]:
    found = _registered.get((view.__class__, method.__name__))
    if found is None:
        raise UsageError(
            f"{type(view).__name__}.{method.__name__} is durable, but no route leads to its class.",
            hint="Add it to the URL configuration with as_view().",
        )
    return found


def has_durable_methods(callback: Any) -> bool:
    """Say whether the class behind a route has durable methods that are registered."""
    view_class = getattr(callback, "view_class", None)
    return any(each is view_class for each, _ in _registered)


def register_methods(callback: Any) -> None:
    """Register the durable methods of the class behind a route; a second time changes nothing.

    Raises:
        RegistrationError: One cannot work, or two routes make the class with different arguments.
    """
    view_class: Any = getattr(callback, "view_class", None)
    if not isinstance(view_class, type):
        return
    initkwargs: Mapping[str, Any] = getattr(callback, "view_initkwargs", {})
    for name in dir(view_class):
        attribute = inspect.getattr_static(view_class, name, None)
        options = getattr(attribute, "__dict__", {}).get(PENDING)
        if isinstance(options, EndpointOptions):
            # The transaction of ATOMIC_REQUESTS would be held open while the call waits for its result.
            callback._non_atomic_requests = set(connections)
            _register(view_class, name, attribute, options, initkwargs)


def _register(
    view_class: type[Any], name: str, decorated: Any, options: EndpointOptions, initkwargs: Mapping[str, Any]
) -> None:
    if (view_class, name) in _registered:
        return
    if options.workflow and options.service is None:
        options = replace(options, service=view_class.__name__)
    handler_name = view_class.__name__ if name == "dispatch" else f"{view_class.__name__}_{name}"
    if options.name is None and not options.workflow:
        options = replace(options, name=handler_name)
    original: Any = decorated.__wrapped__
    if original.__module__.startswith("django.") and options.service is None:
        service = module_service(view_class)
        options = replace(options, service=service if options.key is None else f"{service}_by_{options.key}")
    awaited = is_async(original) or bool(name == "dispatch" and view_class.view_is_async)
    if inspect.isgeneratorfunction(original):
        raise RegistrationError(f"{view_class.__name__}.{name} is a generator, which cannot be recorded.")

    context = find_context(original)
    context_name = None if context is None else context[0]

    def call(request: Any, *args: Any, **kwargs: Any) -> Any:
        view = view_class(**initkwargs)
        # As `as_view` does; the context is for the method only.
        view.setup(request, *args, **{key: value for key, value in kwargs.items() if key != context_name})
        return original(view, request, *args, **kwargs)

    _registered[(view_class, name)] = (register(call, original, options, is_async=awaited), options)
