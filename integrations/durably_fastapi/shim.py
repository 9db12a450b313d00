"""What the adapter takes from FastAPI that FastAPI does not promise to keep.

Owns every use of such a function or attribute, each with what is done where a release has it otherwise. Tested over
the releases of a year. Everything else of the adapter uses documented names only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

from fastapi import FastAPI, routing
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute, serialize_response
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from durably.errors import UsageError

__all__ = [
    "close_dependencies",
    "flat_routes",
    "is_default_response",
    "overrides_of_route",
    "response_class_of",
    "route_of",
    "routes_of",
    "serialize_result",
    "to_json",
]

_STACKS = ("fastapi_function_astack", "fastapi_inner_astack")
"""Where FastAPI keeps what `yield` dependencies opened, the inner one first. Before 0.121 there was only the second."""


async def close_dependencies(request: Request) -> None:
    """Close what the `yield` dependencies of a request opened, before its answer.

    FastAPI closes them after it; that finds nothing more to do.
    """
    for name in _STACKS:
        stack: object = request.scope.get(name)
        if isinstance(stack, AsyncExitStack):
            await cast("AsyncExitStack[bool | None]", stack).aclose()


def routes_of(app: FastAPI, endpoint: Callable[..., Any]) -> list[APIRoute]:
    """Give the routes of an application, or of one mounted below it, that lead to `endpoint`.

    Those of included routers have the options that the inclusion gave them.
    """
    return [route for route in _all_routes(app.routes) if getattr(route, "endpoint", None) is endpoint]


def flat_routes(routes: Iterable[Any]) -> Iterator[Any]:
    """Give routes, those of included routers with the path and the options that they have by the inclusion."""
    iter_contexts = getattr(routing, "iter_route_contexts", None)  # since 0.137.2
    iter_pairs = getattr(routing, "_iter_routes_with_context", None)  # since 0.137 includes routers by reference
    if iter_contexts is not None:
        yield from iter_contexts(routes)
    elif iter_pairs is not None:
        for route, context in iter_pairs(routes):
            yield route if context is None else context.starlette_route or context
    else:
        yield from routes


def _all_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in flat_routes(routes):
        original = getattr(route, "original_route", route)
        if isinstance(original, Mount):
            yield from _all_routes(original.routes)
        elif isinstance(original, APIRoute):
            yield cast("APIRoute", route)


def overrides_of_route(route: APIRoute) -> Mapping[Callable[..., Any], Callable[..., Any]] | None:
    """Give the dependency overrides that hold for a route: those of the application that it was added to."""
    original = getattr(route, "original_route", route)
    for each in (route, original):
        provider: object = getattr(each, "dependency_overrides_provider", None)
        if isinstance(provider, FastAPI):
            return cast("Mapping[Callable[..., Any], Callable[..., Any]]", provider.dependency_overrides)
    return None


def route_of(request: Request, routes: list[APIRoute]) -> APIRoute | None:
    """Give the one of several routes that serves a request; the first one if that cannot be told."""
    if len(routes) > 1:
        serving: object = request.scope.get("route")
        for route in routes:
            if getattr(route, "original_route", route) is serving or route is serving:
                return route
    return routes[0] if routes else None


def serialize_result(route: APIRoute | None, value: Any) -> Any:
    """Give what a route would write as JSON for `value`: checked and filtered by its `response_model…` options.

    Raises:
        ResponseValidationError: It is not what the route promises.
    """
    options: dict[str, Any] = {"field": None}
    if route is not None:
        options = {
            "field": route.response_field,
            "include": route.response_model_include,
            "exclude": route.response_model_exclude,
            "by_alias": route.response_model_by_alias,
            "exclude_unset": route.response_model_exclude_unset,
            "exclude_defaults": route.response_model_exclude_defaults,
            "exclude_none": route.response_model_exclude_none,
        }
    return _result_of(serialize_response(response_content=value, is_coroutine=True, **options))


def _result_of(coroutine: Any) -> Any:
    """Give the result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise UsageError(
        "This release of FastAPI writes results in a way that durably does not know.",
        hint="Update durably, or report the version of FastAPI.",
    )


def response_class_of(route: APIRoute | None) -> type[Response]:
    """Give the class of a route's answers."""
    chosen: Any = JSONResponse if route is None else route.response_class
    return cast("type[Response]", chosen.value if isinstance(chosen, DefaultPlaceholder) else chosen)


def is_default_response(route: APIRoute | None) -> bool:
    """Tell whether nobody chose a class for a route's answers."""
    return route is None or isinstance(route.response_class, DefaultPlaceholder)


def to_json(content: Any) -> bytes:
    """Write what `serialize_result` gave, as `JSONResponse` does."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
