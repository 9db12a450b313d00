"""Services: listing and changing them, and the state of their keys.

| method, path | result |
|---|---|
| GET `/services`, `/services/{service}` | list, detail |
| PATCH `/services/{service}` | 200 with the changed service |
| GET `/services/{service}/handlers[/{handler}]` | handlers |
| GET `/services/{service}/openapi` | OpenAPI document of its ingress paths |
| POST `/services/{service}/state` | 202; replaces the whole state of a key, in its turn |
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from durably.engine.admin.bodies import ServicePatch, StateRequest
from durably.engine.admin.metadata import handler_json, service_json
from durably.engine.admin.openapi import openapi_of
from durably.engine.admin.requests import AdminError, Endpoints, json_response, not_found
from durably.engine.api import EngineApi
from durably.engine.events import EditState, PatchService
from durably.engine.ingress.durations import parse_duration
from durably.engine.records import OptionsRecord, ServiceRecord, ServiceType, StateEdit

__all__ = ["ServiceEndpoints"]


class ServiceEndpoints(Endpoints):
    """Endpoints about services."""

    def __init__(self, api: EngineApi, *, ingress_url: str) -> None:
        """Ask `api`; `ingress_url` goes into OpenAPI documents."""
        super().__init__(api)
        self._ingress_url = ingress_url

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            Route("/services", self._list, methods=["GET"]),
            Route("/services/{service}", self._get, methods=["GET"]),
            Route("/services/{service}", self._patch, methods=["PATCH"]),
            Route("/services/{service}/handlers", self._handlers, methods=["GET"]),
            Route("/services/{service}/handlers/{handler}", self._handler, methods=["GET"]),
            Route("/services/{service}/openapi", self._openapi, methods=["GET"]),
            Route("/services/{service}/state", self._edit_state, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        options = self.api.options
        return json_response({"services": [service_json(service, options) for service in self.api.services.values()]})

    async def _get(self, request: Request) -> Response:
        return json_response(service_json(self._service(request), self.api.options))

    async def _patch(self, request: Request) -> Response:
        name: str = request.path_params["service"]
        changes = await self.body(request, ServicePatch)
        service = self._service(request)
        if changes.workflow_completion_retention is not None and service.type is not ServiceType.WORKFLOW:
            raise AdminError(400, f"Service '{name}' is no workflow and has no workflow completion retention.")
        options = OptionsRecord(
            public=changes.public,
            idempotency_retention_ms=_milliseconds(changes.idempotency_retention),
            workflow_completion_retention_ms=_milliseconds(changes.workflow_completion_retention),
            journal_retention_ms=_milliseconds(changes.journal_retention),
            inactivity_timeout_ms=_milliseconds(changes.inactivity_timeout),
            abort_timeout_ms=_milliseconds(changes.abort_timeout),
        )
        if options != OptionsRecord():
            await self.submit(PatchService(name, options, reply=0))
        changed = await self.api.read(lambda reader: reader.service(name))
        if changed is None:
            raise not_found("service", name)
        return json_response(service_json(changed, self.api.options))

    async def _handlers(self, request: Request) -> Response:
        service = self._service(request)
        return json_response({"handlers": [handler_json(service, handler) for handler in service.handlers.values()]})

    async def _handler(self, request: Request) -> Response:
        service = self._service(request)
        name: str = request.path_params["handler"]
        handler = service.handlers.get(name)
        if handler is None:
            raise AdminError(404, f"The requested handler '{name[:200]}' of service '{service.name}' does not exist")
        return json_response(handler_json(service, handler))

    async def _openapi(self, request: Request) -> Response:
        return json_response(openapi_of(self._service(request), self._ingress_url))

    async def _edit_state(self, request: Request) -> Response:
        name: str = request.path_params["service"]
        asked = await self.body(request, StateRequest)
        if asked.scope is not None:
            raise AdminError(400, "Scopes are not supported.")
        self._service(request)
        if len(asked.object_key.encode()) > self.api.options.limits.key_bytes:
            raise AdminError(400, f"The key is longer than {self.api.options.limits.key_bytes} bytes.")
        state = {key.encode(): bytes(value) for key, value in asked.new_state.items()}
        await self.submit(EditState(name, asked.object_key, StateEdit(state, asked.version), reply=0))
        return Response(status_code=202)

    def _service(self, request: Request) -> ServiceRecord:
        name: str = request.path_params["service"]
        service = self.api.services.get(name)
        if service is None:
            raise not_found("service", name)
        return service


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else parse_duration(text)
