"""Deployments: registering, listing, changing and deleting them.

| method, path | result |
|---|---|
| POST `/deployments` | 201 registered, 200 known already |
| GET `/deployments`, `/deployments/{id}` | list, detail |
| PATCH `/deployments/{id}` | registers the same address again, with other settings |
| DELETE `/deployments/{id}?force=true` | 202; without `force` 501: draining is not done |
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from durably.engine.actions import Failed
from durably.engine.admin.bodies import DeploymentPatch, RegisterRequest
from durably.engine.admin.metadata import deployment_json, public_uri, service_json
from durably.engine.admin.requests import AdminError, Endpoints, Json, json_response, not_found, refuse
from durably.engine.api import RegisteredDeployment, Registration
from durably.engine.events import DeleteDeployment
from durably.engine.ingress.refusals import RefusedError
from durably.engine.records import Deployment, ServiceRecord
from durably.engine.store.contract import Reader
from durably.protocol.ids import parse_deployment_id

__all__ = ["DeploymentEndpoints"]


class DeploymentEndpoints(Endpoints):
    """Endpoints about deployments."""

    def routes(self, *, force_is_default: bool) -> list[Route]:
        """Give the routes.

        Args:
            force_is_default: Whether a registration replaces a known deployment unless it says otherwise, as V2 does.
        """

        async def register(request: Request) -> Response:
            return await self._register(request, force_is_default=force_is_default)

        return [
            Route("/deployments", register, methods=["POST"]),
            Route("/deployments", self._list, methods=["GET"]),
            Route("/deployments/{deployment}", self._get, methods=["GET"]),
            Route("/deployments/{deployment}", self._patch, methods=["PATCH"]),
            Route("/deployments/{deployment}", self._delete, methods=["DELETE"]),
        ]

    async def _register(self, request: Request, *, force_is_default: bool) -> Response:
        asked = await self.body(request, RegisterRequest)
        registered = await self._discover(
            Registration(
                uri=_absolute(asked.uri),
                use_http_11=asked.use_http_11,
                force=force_is_default if asked.force is None else asked.force,
                breaking=asked.breaking,
                dry_run=asked.dry_run,
                additional_headers=tuple((asked.additional_headers or {}).items()),
                metadata=asked.metadata,
            )
        )
        deployment = registered.deployment
        body: Json = {
            "id": deployment.id,
            "services": [service_json(service, self.api.options) for service in _latest(registered.services)],
            "min_protocol_version": deployment.min_protocol_version,
            "max_protocol_version": deployment.max_protocol_version,
        }
        if deployment.sdk_version is not None:
            body["sdk_version"] = deployment.sdk_version
        return json_response(
            body, 201 if registered.is_new else 200, headers={"location": f"deployments/{deployment.id}"}
        )

    async def _list(self, request: Request) -> Response:
        def read(reader: Reader) -> list[tuple[Deployment, list[ServiceRecord]]]:
            return [(deployment, reader.services_of(deployment.id)) for deployment in reader.deployments()]

        found = await self.api.read(read)
        listed = [
            deployment_json(
                deployment,
                [{"name": service.name, "revision": service.revision} for service in _latest(services)],
            )
            for deployment, services in found
        ]
        return json_response({"deployments": listed})

    async def _get(self, request: Request) -> Response:
        return json_response(await self._detail(_deployment_id(request)))

    async def _patch(self, request: Request) -> Response:
        deployment_id = _deployment_id(request)
        changes = await self.body(request, DeploymentPatch)
        deployment = await self._stored(deployment_id)
        if changes.uri is not None and public_uri(_absolute(changes.uri)) != public_uri(deployment.uri):
            raise AdminError(400, "The address of a deployment cannot be changed; register the new one.")
        headers = changes.additional_headers
        await self._discover(
            Registration(
                uri=deployment.uri,
                use_http_11=deployment.use_http_11 if changes.use_http_11 is None else changes.use_http_11,
                force=True,
                breaking=changes.breaking,
                dry_run=changes.dry_run,
                additional_headers=deployment.additional_headers if headers is None else tuple(headers.items()),
                metadata=deployment.metadata,
            )
        )
        return json_response(await self._detail(deployment_id))

    async def _delete(self, request: Request) -> Response:
        deployment_id = _deployment_id(request)
        if request.query_params.get("force") != "true":
            return Response(status_code=501)
        await self.submit(DeleteDeployment(deployment_id, reply=0))
        return Response(status_code=202)

    async def _discover(self, registration: Registration) -> RegisteredDeployment:
        registered = await self.api.register(registration)
        if isinstance(registered, Failed):
            refuse(registered)
        return registered

    async def _stored(self, deployment_id: str) -> Deployment:
        deployment = await self.api.read(lambda reader: reader.deployment(deployment_id))
        if deployment is None:
            raise not_found("deployment", deployment_id)
        return deployment

    async def _detail(self, deployment_id: str) -> Json:
        deployment = await self._stored(deployment_id)
        services = await self.api.read(lambda reader: reader.services_of(deployment_id))
        options = self.api.options
        return deployment_json(deployment, [service_json(service, options) for service in _latest(services)])


def _deployment_id(request: Request) -> str:
    text: str = request.path_params["deployment"]
    try:
        parse_deployment_id(text)
    except ValueError as error:
        raise RefusedError(400, f"The deployment in the path is no deployment id: {error}") from error
    return text


def _absolute(uri: str) -> str:
    if "://" not in uri:
        raise AdminError(400, "The request field 'uri' is invalid: it must be absolute, as in http://localhost:9080")
    return uri


def _latest(services: Iterable[ServiceRecord]) -> list[ServiceRecord]:
    """Give the highest revision of each service."""
    latest: dict[str, ServiceRecord] = {}
    for service in services:
        known = latest.get(service.name)
        if known is None or known.revision < service.revision:
            latest[service.name] = service
    return list(latest.values())
