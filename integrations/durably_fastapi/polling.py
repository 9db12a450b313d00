"""The route where a result is fetched that a caller did not wait for.

Owns the route only: which results exist and who may see them is decided in `durably.web.calls`, what the answer looks
like in `answers`. It is an ordinary route of the application, behind its middleware and its dependencies.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from durably.web.calls import poll
from durably_fastapi.answers import answer
from durably_fastapi.endpoint import find_endpoint
from durably_fastapi.runtime import Runtime

__all__ = ["add_polling_route"]


def add_polling_route(app: FastAPI, runtime: Runtime) -> None:
    """Add `GET {prefix}/results/{token}`, before all other routes, because one of those may match every path."""

    async def result(token: str, request: Request) -> Response:
        outcome = await poll(runtime.link, token, request.headers.get("prefer"), request.scope.get("root_path", ""))
        handler = outcome.handler
        return await answer(None if handler is None else find_endpoint(handler), outcome, request)

    path = f"{runtime.settings.prefix}/results/{{token}}"
    app.add_api_route(
        path, result, methods=["GET"], include_in_schema=False, response_model=None, name="durable_result"
    )
    routes = app.router.routes
    routes.insert(0, routes.pop())
