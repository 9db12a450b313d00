"""The ingress as an ASGI application.

Owns the way of a request: access, path, method, headers, target, body, then one event to the engine and its outcome
back. Every refusal comes before the body is read where it can. Nothing of a request is logged but its method, status
and the kind of route.

It is no framework's application because its paths must be read as they were sent; frameworks route on decoded ones.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote

from durably.engine.api import EngineApi
from durably.engine.ingress.access import AccessOptions, check_access
from durably.engine.ingress.answers import refusal
from durably.engine.ingress.bodies import Answer, Disconnected, Receive, Scope, Send, TooLargeError, send_answer
from durably.engine.ingress.headers import read_headers
from durably.engine.ingress.operations import Operations, Request
from durably.engine.ingress.paths import (
    AwakeableRoute,
    HealthRoute,
    InvokeRoute,
    ResultRoute,
    Route,
    TargetRoute,
    parse_path,
)
from durably.engine.ingress.refusals import RefusedError
from durably.errors import EngineStoppedError, StoreError

__all__ = ["IngressApp", "IngressOptions"]

_logger = logging.getLogger(__name__)

_MAX_URI_BYTES: Final = 64 * 1024
_UNAVAILABLE: Final = refusal(503, "the engine is not available now", ("retry-after", "1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressOptions:
    """How the ingress treats requests.

    Attributes:
        access: Who may send them.
        pass_on_headers: Headers, in lower case, that handlers get though they are usually held back, such as
            `authorization`. They are stored in journals.
        accept_forms: Whether bodies labelled `text/plain` or as a form reach handlers that do not name these types.
    """

    access: AccessOptions = field(default_factory=AccessOptions)
    pass_on_headers: frozenset[str] = frozenset()
    accept_forms: bool = False


class IngressApp:
    """The ingress; an ASGI application. It keeps nothing but the engine, so any number may serve one engine."""

    def __init__(self, api: EngineApi, options: IngressOptions | None = None) -> None:
        """Serve `api`."""
        self._api = api
        self._options = options or IngressOptions()
        self._operations = Operations(api, accept_forms=self._options.accept_forms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case _:  # websocket
                await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = check_access(scope, self._options.access)
        try:
            if refused is not None:
                answer = refusal(refused.status, refused.message)
            else:
                answer = await self._answer(scope, receive)
        except Disconnected:
            return
        await send_answer(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            path, query = _target(scope)
            if len(path) + len(query) > _MAX_URI_BYTES:
                return refusal(414, "the path is too long")
            if scope["method"] not in ("GET", "POST"):
                return refusal(405, "method not allowed")
            route = parse_path(path)
            if scope["method"] != (_method(route) or scope["method"]):
                return refusal(405, "method not allowed")
            full_path = f"{path}?{query}" if query else path
            limits = self._api.options.limits
            headers = read_headers(scope["headers"], full_path, limits, self._options.pass_on_headers)
            request = Request(headers, _parameters(query), receive)
            return await self._dispatch(route, request)
        except RefusedError as error:
            return refusal(error.status, error.message)
        except TooLargeError:
            return refusal(413, "the request body is too large")
        except (StoreError, EngineStoppedError) as error:
            _logger.warning("A request was answered 503: %s", type(error).__name__)
            return _UNAVAILABLE

    async def _dispatch(self, route: Route, request: Request) -> Answer:
        operations = self._operations
        match route:
            case InvokeRoute():
                return await operations.invoke(route, request)
            case ResultRoute():
                return await operations.result(route, request)
            case TargetRoute(action):
                return await operations.target(action, request)
            case AwakeableRoute(awakeable_id, resolves):
                return await operations.awakeable(awakeable_id, request, resolves=resolves)
            case HealthRoute():
                return operations.health()


def _method(route: Route) -> str | None:
    match route:
        case InvokeRoute():
            return None
        case ResultRoute() | HealthRoute():
            return "GET"
        case TargetRoute() | AwakeableRoute():
            return "POST"


def _target(scope: Scope) -> tuple[str, str]:
    raw: bytes | None = scope.get("raw_path")
    # Servers without `raw_path` have decoded it: what they took apart cannot be told from what was sent that way.
    path = quote(scope["path"], safe="/") if raw is None else raw.partition(b"?")[0].decode("latin-1")
    mounted_at: str = quote(scope.get("root_path") or "", safe="/%")
    if mounted_at and path.startswith(mounted_at):
        path = path[len(mounted_at) :]
    return path, scope.get("query_string", b"").decode("latin-1")


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    if query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters.setdefault(name.lower(), value)
    return parameters


async def _lifespan(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
