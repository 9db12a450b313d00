"""The admin API as an ASGI application.

Owns its versions, its access and what every request has in common. Paths without a version are the latest version's;
`/v2`, `/v3` and `/v4` select one. Each change that an operator asks for is logged with its path and status, never
with its body.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

import durably
from durably.engine.admin.deployments import DeploymentEndpoints
from durably.engine.admin.invocations import InvocationEndpoints
from durably.engine.admin.openapi import openapi_of_routes
from durably.engine.admin.queries import QueryEndpoints
from durably.engine.admin.requests import AdminError, json_response, refusal_response
from durably.engine.admin.services import ServiceEndpoints
from durably.engine.api import EngineApi
from durably.engine.ingress.access import AccessOptions, check_access
from durably.engine.ingress.bodies import Disconnected, Receive, Scope, Send, TooLargeError
from durably.engine.ingress.headers import check_size
from durably.engine.ingress.refusals import RefusedError
from durably.errors import EngineStoppedError, StoreError
from durably.protocol.versions import ProtocolVersion

__all__ = ["AdminApp"]

_logger = logging.getLogger(__name__)

_MIN_VERSION: Final = 2
_MAX_VERSION: Final = 4
_VERSIONED: Final = re.compile(r"/v([1-4])(/.*)", re.DOTALL)
# What a Restate Server can switch on; clients look at some of them.
_ABSENT_FEATURES: Final = (
    "invoker_yield",
    "kafka_scope",
    "preflight_invocation_termination_retention",
    "scoped_promise_table_migration",
    "scoped_state_table_migration",
    "scoped_virtual_objects",
    "unique_random_seeds",
    "vqueue_obsolete_cleanup",
    "vqueues",
    "vqueues_async_refill",
    "vqueues_migration_skip_completed",
)


class AdminApp:
    """The admin API; an ASGI application.

    Args:
        api: The engine.
        access: Who may use it.
        ingress_url: Where callers reach the engine, for documents and clients.
    """

    def __init__(
        self, api: EngineApi, access: AccessOptions | None = None, *, ingress_url: str = "http://127.0.0.1:8080/"
    ) -> None:
        """Serve `api`."""
        self._api = api
        self._access = access or AccessOptions()
        self._ingress_url = ingress_url
        latest = self._router(force_is_default=False)
        self._routers: Mapping[int, Router] = MappingProxyType(
            {2: self._router(force_is_default=True), 3: latest, 4: latest}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._routers[_MAX_VERSION](scope, receive, send)
            return
        version, path = _version(scope["path"].removeprefix(scope.get("root_path") or ""))
        refused = check_access(scope, self._access)
        response: Response | None = None
        if refused is not None and path != "/health":
            response = Response(refused.message, refused.status, media_type="text/plain")
        elif version < _MIN_VERSION:
            text = f"This engine supports versions {_MIN_VERSION} to {_MAX_VERSION} of the admin API."
            response = Response(text, 400, media_type="text/plain")
        if response is not None:
            await response(scope, receive, send)
            return
        inner = {**scope, "path": path, "root_path": ""}
        if scope["method"] in ("GET", "HEAD") or path == "/query":
            await self._route(self._routers[version], inner, receive, send)
            return

        async def send_and_log(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                _logger.info("%s %r was answered %d", scope["method"], path[:200], message["status"])
            await send(message)

        await self._route(self._routers[version], inner, receive, send_and_log)

    async def _route(self, router: Router, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_size(scope["headers"], self._api.options.limits)
            await router(scope, receive, send)
            return
        except RefusedError as error:
            response = refusal_response(error)
        except TooLargeError:
            response = refusal_response(AdminError(413, "The request body is too large."))
        except (StoreError, EngineStoppedError) as error:
            _logger.warning("An admin request was answered 503: %s", type(error).__name__)
            response = refusal_response(AdminError(503, "The engine is not available now."))
        except Disconnected:
            return
        await response(scope, receive, send)

    def _router(self, *, force_is_default: bool) -> Router:
        api = self._api
        routes = [
            Route("/health", _health, methods=["GET"]),
            Route("/version", self._version, methods=["GET"]),
            Route("/cluster-health", _cluster_health, methods=["GET"]),
            Route("/subscriptions", _no_subscriptions, methods=["GET"]),
            *DeploymentEndpoints(api).routes(force_is_default=force_is_default),
            *ServiceEndpoints(api, ingress_url=self._ingress_url).routes(),
            *InvocationEndpoints(api).routes(),
            *QueryEndpoints(api).routes(),
        ]

        async def openapi(request: Request) -> Response:
            return json_response(openapi_of_routes(routes, durably.__version__))

        routes.append(Route("/openapi", openapi, methods=["GET"]))
        return Router(routes, redirect_slashes=False)

    async def _version(self, request: Request) -> Response:
        features: dict[str, bool] = dict[str, bool].fromkeys(_ABSENT_FEATURES, False)
        features["protocol_v7"] = self._api.options.max_protocol_version >= ProtocolVersion.V7
        return json_response(
            {
                "version": durably.__version__,
                "min_admin_api_version": _MIN_VERSION,
                "max_admin_api_version": _MAX_VERSION,
                "ingress_endpoint": self._ingress_url,
                "features": features,
            }
        )


async def _health(request: Request) -> Response:
    return Response()


async def _cluster_health(request: Request) -> Response:
    return json_response({"cluster_name": "durably", "metadata_cluster_health": None})


async def _no_subscriptions(request: Request) -> Response:
    return json_response({"subscriptions": []})


def _version(path: str) -> tuple[int, str]:
    match = _VERSIONED.fullmatch(path)
    if match is None:
        return _MAX_VERSION, path
    return int(match[1]), match[2]
