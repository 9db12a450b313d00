"""The durable side of a view: what runs on each attempt.

Owns the function that is registered as the handler: it makes the request again and calls the view with it, without
the project's middleware, which ran when the request came in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from asgiref import sync
from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.urls import Resolver404, get_script_prefix, resolve, set_script_prefix
from django.utils import translation

from durably.annotations import (
    UnresolvedAnnotationError,
    evaluate_annotation,
    plain_function,
    raw_annotations,
    visible_names,
)
from durably.authoring.contexts import Context
from durably.authoring.sync_contexts import SyncContext
from durably_django.messages import keep
from durably_django.stored_request import StoredRequest

__all__ = ["ContextParameter", "find_context", "is_async", "make_attempt"]

ContextParameter = tuple[str, Any]
"""The name of the parameter that takes the context, and its annotation."""


def is_async(view: Callable[..., Any]) -> bool:
    """Say whether a view is awaited, by Django's word: marked functions are as well."""
    return bool(sync.iscoroutinefunction(view))  # pyright: ignore[reportDeprecated]


def find_context(view: Callable[..., Any]) -> ContextParameter | None:
    """Find the parameter of a view that is annotated as a context."""
    names = visible_names(view)
    for name, raw in raw_annotations(view).items():
        if name == "return":
            continue
        try:
            annotation: Any = evaluate_annotation(raw, view, names)
        except UnresolvedAnnotationError:
            continue  # of no concern here: views may annotate as they like
        if isinstance(annotation, type) and issubclass(annotation, (Context, SyncContext)):
            return name, annotation
    return None


@contextmanager
def _request_of(stored: StoredRequest) -> Generator[HttpRequest, None, None]:
    request = stored.to_request()
    before = get_script_prefix()
    set_script_prefix(stored.meta.get("SCRIPT_NAME", "") or "/")
    with suppress(Resolver404):  # the route has been renamed since; the view has its values all the same
        request.resolver_match = resolve(request.path_info)
    try:
        with nullcontext() if stored.language is None else translation.override(stored.language):
            yield request
    finally:
        set_script_prefix(before)
        request.close()


def make_attempt(
    call: Callable[..., Any], view: Callable[..., Any], context: ContextParameter | None, *, is_async: bool
) -> Callable[..., Any]:
    """Make the handler's function: it takes the context and the stored request.

    Args:
        call: Takes the request and the values of the route, and runs the view.
        view: As it was written; lends its name and documentation.
        context: The view's parameter for the context.
        is_async: Whether `call` gives an awaitable.
    """

    def arguments(given: Any, stored: StoredRequest) -> dict[str, Any]:
        return dict(stored.kwargs) if context is None else {**stored.kwargs, context[0]: given}

    def attempt_blocking(given: Any, stored: StoredRequest) -> Any:
        with _request_of(stored) as request:
            response = call(request, *stored.args, **arguments(given, stored))
            keep(request, response)
            return response

    async def attempt_async(given: Any, stored: StoredRequest) -> Any:
        with _request_of(stored) as request:
            result = call(request, *stored.args, **arguments(given, stored))
            response = await result if inspect.isawaitable(result) else result
            render = getattr(response, "render", None)
            response = await sync_to_async(render)() if callable(render) else response
            keep(request, response)
            return response

    attempt: Any = attempt_async if is_async else attempt_blocking
    target = plain_function(view)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(attempt, name, getattr(target, name, None))
    attempt.__annotations__ = {"given": Any if context is None else context[1], "stored": Any, "return": Any}
    made: Callable[..., Any] = attempt
    return made
