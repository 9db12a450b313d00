"""What stands before an application's middleware: the runtime's requests, the lifespan, and the end of each answer.

Owns the order in which a request is looked at. The runtime's own requests never pass the application's middleware,
because one that buffers or compresses would break their streams; all others pass it untouched.

| scope | path | goes to |
|---|---|---|
| `http` | `{prefix}/health` | answered here |
| `http` | `{prefix}/discover`, `{prefix}/invoke/…` | the endpoint; the application if the engine is embedded |
| `http` | other | the application; what has to happen before its answer leaves, happens |
| `lifespan` | | the application and the runtime, see `durably_fastapi.lifespan` |
| `websocket` | | the application |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from durably.errors import DurablyError
from durably.hosting.routes import Answer, Request, Routes
from durably.protocol.manifest import ProtocolMode
from durably.web.layers import path_below_mount
from durably_fastapi.lifespan import serve_lifespan
from durably_fastapi.runtime import Runtime

__all__ = ["SCOPE_KEY", "Dispatch", "Outgoing", "outgoing_of"]

SCOPE_KEY: Final = "durably_fastapi.outgoing"
_RETRY_AFTER_S: Final = "1"
_END_OF_WAITING: Final = "graceful shutdown"  # what uvicorn cancels requests with that are still open then

_logger = logging.getLogger(__name__)

BeforeAnswer = Callable[[], Awaitable[None]]


class Outgoing:
    """The way out of one request: what has to happen before its answer leaves.

    Attributes:
        runtime: Of the application that the request is for.
        is_waiting: Whether it waits for the result of a durable call, which goes on without it.
    """

    __slots__ = ("_before", "_has_begun", "_is_replaced", "_send", "is_waiting", "runtime")

    def __init__(self, runtime: Runtime, send: Send) -> None:
        """Stand before `send`."""
        self.runtime: Runtime = runtime
        self._send = send
        self._before: list[BeforeAnswer] = []
        self._is_replaced = False
        self._has_begun = False
        self.is_waiting: bool = False

    def before_answer(self, work: BeforeAnswer) -> None:
        """Do `work` before the answer leaves; if it raises a `DurablyError`, the answer is a 503 instead."""
        self._before.append(work)

    async def send(self, message: Message) -> None:
        """Hand a message to the server."""
        if self._is_replaced:
            return
        if self._before and message["type"] == "http.response.start":
            work, self._before = self._before, []
            try:
                for act in work:
                    await act()
            except DurablyError:
                _logger.exception("What belongs to an answer could not be done; the caller is told to try again.")
                self._is_replaced = True
                await self._refuse()
                return
        self._has_begun = True
        await self._send(message)

    async def end_waiting(self, cancelled: asyncio.CancelledError) -> None:
        """Answer a call whose waiting the server ends because it stops: 503, as the result is still to come.

        Raises:
            CancelledError: It was cancelled by somebody else, or does not wait, or has its answer already.
        """
        task = asyncio.current_task()
        is_by_server = any(_END_OF_WAITING in str(each) for each in cancelled.args)
        if task is None or not is_by_server or not self.is_waiting or self._has_begun:
            raise cancelled
        task.uncancel()
        await self._refuse()

    async def _refuse(self) -> None:
        response = JSONResponse({"detail": "Service Unavailable"}, 503, {"retry-after": _RETRY_AFTER_S})
        await self._send({"type": "http.response.start", "status": 503, "headers": response.raw_headers})
        await self._send({"type": "http.response.body", "body": response.body})


class Dispatch:
    """Wraps an application, its middleware included.

    Attributes:
        app: What is wrapped; instrumentation that walks along the middleware looks for this name.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        """Stand before `app`."""
        self.app: ASGIApp = app
        self._runtime = runtime
        self._prefix = runtime.settings.prefix
        self._routes = Routes(runtime.endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await serve_lifespan(self.app, self._runtime, scope, receive, send)
        else:
            scope[SCOPE_KEY] = Outgoing(self._runtime, send)
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_below_mount(scope)
        rest = path[len(self._prefix) :] if path.startswith(self._prefix) else ""
        if rest == "/health":
            await self._health(scope)(scope, receive, send)
            return
        if self._runtime.needs_start:
            await self._runtime.start_late()
        invoke_app = self._runtime.link.invoke_app
        if invoke_app is not None and (rest == "/discover" or rest.startswith("/invoke/")):
            await invoke_app(scope, receive, send)
            return
        outgoing = scope[SCOPE_KEY] = Outgoing(self._runtime, send)
        try:
            await self.app(scope, receive, outgoing.send)
        except asyncio.CancelledError as cancelled:
            await outgoing.end_waiting(cancelled)

    def _health(self, scope: Scope) -> Response:
        answer = self._routes.route(Request(scope["method"], "/health", (), ProtocolMode.REQUEST_RESPONSE))
        if not isinstance(answer, Answer):
            return Response(status_code=404)
        return Response(answer.body, answer.status, dict(answer.headers))


def outgoing_of(scope: Scope) -> Outgoing | None:
    """Give the way out of a request; None where no `Durably` takes care of the application."""
    found: Outgoing | None = scope.get(SCOPE_KEY)
    return found
