"""The ASGI application of an endpoint.

Owns the translation between ASGI events and the route table, the start and the end of a streamed response, and the
lifespan. It installs no signal handler and starts nothing at import: stopping is the server's business, and an
attempt that the server cuts is run again by the runtime.

| scope | answer |
|---|---|
| `http` | see `durably.hosting.routes`; invocations are streamed |
| `lifespan` | startup at once; shutdown after open attempts ended, for at most `shutdown_grace` |
| `websocket` | refused |

Source: ASGI 3.0; service protocol, "Endpoint HTTP surface".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.attempt import new_machine
from durably.errors import ConfigurationError
from durably.hosting import watchdog
from durably.hosting.aio import run_attempt
from durably.hosting.drain import drain
from durably.hosting.mode import mode_of_asgi
from durably.hosting.options import DEFAULT_HOSTING, HostingOptions
from durably.hosting.routes import Answer, Invocation, Request, Routes, internal_failure, response_head
from durably.hosting.threaded import ThreadedDriver
from durably.protocol.manifest import ProtocolMode
from durably.protocol.versions import ProtocolVersion

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint

__all__ = ["AsgiApp"]

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

_REFUSED_DRAIN_LIMIT_S: Final = 1.0  # how long the body of a refused request is read away

_logger = logging.getLogger(__name__)


class AsgiApp:
    """Serves an endpoint to any ASGI server; mount it under any prefix.

    One instance serves one event loop at a time.
    """

    def __init__(self, endpoint: Endpoint, options: HostingOptions = DEFAULT_HOSTING) -> None:
        """Serve `endpoint` with `options`."""
        self._endpoint = endpoint
        self._options = options
        self._routes = Routes(endpoint, options)
        self._threaded = ThreadedDriver(endpoint, options.threads)
        self._open = 0
        self._all_ended: asyncio.Event | None = None
        self._heads = {version: _encoded(response_head(version)) for version in ProtocolVersion}
        watchdog.set_threshold(options.blocked_after)

    @property
    def endpoint(self) -> Endpoint:
        """What is served."""
        return self._endpoint

    @property
    def open_attempts(self) -> int:
        """How many attempts run at this moment."""
        return self._open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope.

        Raises:
            ConfigurationError: The scope is of a type that ASGI does not define.
        """
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})
            case other:
                raise ConfigurationError(f"The server asked for {other!r}, which this application does not serve.")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        mode = mode_of_asgi(scope, self._endpoint.protocol_mode or self._options.mode)
        request = _request_of(scope, mode)
        try:
            routed = self._routes.route(request)
        except Exception as error:
            _logger.exception("Routing failed.")
            routed = internal_failure(request.path, request.peer, type(error).__name__)
        if isinstance(routed, Answer):
            await _send_answer(routed, request.method, receive, send)
        else:
            await self._invoke(routed, mode, receive, send)

    async def _invoke(self, invocation: Invocation, mode: ProtocolMode, receive: Receive, send: Send) -> None:
        self._open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(self._heads[invocation.version])})
            if mode is ProtocolMode.BIDI_STREAM:
                # granian and gunicorn hold the head back until the first body event.
                await send({"type": "http.response.body", "body": b"", "more_body": True})
            machine = new_machine(invocation.handler, self._endpoint, invocation.version)
            if invocation.handler.is_async:
                await run_attempt(invocation.handler, self._endpoint, machine, invocation.headers, receive, send)
            else:
                await self._threaded.run(invocation, machine, receive, send)
        except OSError as error:
            # Some servers raise from send() once the peer is gone, others ignore the data.
            _logger.debug("The peer of %s went away: %s", invocation.path, error)
        finally:
            self._open -= 1
            if not self._open and self._all_ended is not None:
                self._all_ended.set()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                await self.drain_attempts()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def drain_attempts(self) -> None:
        """Wait until the open attempts ended, for at most `shutdown_grace`; then make those in threads leave.

        The lifespan calls it. An application that mounts this one, and so keeps the lifespan to itself, should too.
        """
        if self._open:
            self._all_ended = asyncio.Event()
            try:
                async with asyncio.timeout(self._options.shutdown_grace.total_seconds()):
                    await self._all_ended.wait()
            except TimeoutError:
                _logger.info("%d attempts are still open; the runtime will run them again.", self._open)
        self._threaded.abort_all()


async def _send_answer(answer: Answer, method: str, receive: Receive, send: Send) -> None:
    headers = [*_encoded(answer.headers), (b"content-length", b"%d" % len(answer.body))]
    body = b"" if method == "HEAD" else answer.body
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if method not in ("GET", "HEAD"):
            await send({"type": "http.response.body", "body": body, "more_body": True})
            body = b""
            if not await drain(receive, _REFUSED_DRAIN_LIMIT_S):
                return
        await send({"type": "http.response.body", "body": body, "more_body": False})
    except OSError as error:
        _logger.debug("The peer went away before its answer: %s", error)


def _request_of(scope: Scope, mode: ProtocolMode) -> Request:
    peer = scope.get("client")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    return Request(scope["method"], scope["path"], headers, mode, None if peer is None else peer[0])


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
