"""What durable endpoints add to an application's OpenAPI document.

Owns the additions, which are made to the finished document: the 202 with its headers, the header that names the
invocation, and the polling route. Parameters, bodies and results are FastAPI's, from the signature of the endpoint;
what the application documented itself, a 202 of its own for example, is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from durably_fastapi.endpoint import find_endpoint
from durably_fastapi.host import Host
from durably_fastapi.shim import flat_routes

__all__ = ["document_durable_routes"]

_MARK: Final = "__durably_documented__"
_INVOCATION: Final[Mapping[str, Any]] = {
    "description": "Names the durable invocation behind this answer.",
    "schema": {"type": "string"},
}
_ACCEPTED: Final[Mapping[str, Any]] = {
    "description": "The work goes on; its result can be fetched at `Location`.",
    "headers": {
        "Location": {"description": "Where the result can be fetched.", "schema": {"type": "string"}},
        "Preference-Applied": {"description": "The preference that was honoured.", "schema": {"type": "string"}},
        "x-durably-invocation-id": _INVOCATION,
    },
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "DurableInvocation",
                "properties": {"invocation_id": {"type": "string"}, "status": {"type": "string"}},
                "required": ["invocation_id", "status"],
            }
        }
    },
}
_POLLING: Final[Mapping[str, Any]] = {
    "summary": "Fetch the result of durable work",
    "description": "Answers as the durable endpoint itself would have, once the work is done.",
    "operationId": "durably_result",
    "parameters": [{"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {
        "200": {"description": "The result, with the status and body of the durable endpoint."},
        "202": {
            **_ACCEPTED,
            "headers": {
                **_ACCEPTED["headers"],
                "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer"}},
            },
        },
        "404": {"description": "There is no such result, or it is kept no longer."},
    },
}


def document_durable_routes(app: FastAPI, host: Host) -> None:
    """Let `app.openapi()` tell about durable routes; does nothing if it does so already."""
    document: Callable[[], dict[str, Any]] = app.openapi
    if host in getattr(document, _MARK, ()):
        return

    def with_durable_routes() -> dict[str, Any]:
        found = document()
        _complete(found, app, host)
        return found

    setattr(with_durable_routes, _MARK, (host, *getattr(document, _MARK, ())))
    app.openapi = with_durable_routes  # type: ignore[method-assign]


def _complete(document: dict[str, Any], app: FastAPI, host: Host) -> None:
    paths: dict[str, dict[str, Any]] = document.get("paths", {})
    is_any_durable = False
    for route in _routes(app):
        endpoint = find_endpoint(route.endpoint)
        if endpoint is None or endpoint.host is not host:
            continue
        for method in route.methods or ():
            operation = paths.get(route.path_format, {}).get(method.lower())
            if operation is not None:
                is_any_durable = True
                _complete_operation(operation)
    if is_any_durable:
        paths.setdefault(f"{host.settings.prefix}/results/{{token}}", {"get": dict(_POLLING)})


def _complete_operation(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation.setdefault("responses", {})
    for status, response in responses.items():
        if status.startswith("2"):
            response.setdefault("headers", {}).setdefault("x-durably-invocation-id", dict(_INVOCATION))
    accepted = responses.setdefault("202", {})
    for part, value in _ACCEPTED.items():
        if isinstance(value, dict):
            accepted[part] = {**value, **accepted.get(part, {})}
        else:
            accepted.setdefault(part, value)


def _routes(app: FastAPI) -> list[Any]:
    return [each for each in flat_routes(app.routes) if isinstance(getattr(each, "original_route", each), APIRoute)]
