"""The WSGI application of an endpoint.

Owns the translation between a WSGI request and the route table, and the two ways to run an attempt on a WSGI worker:
a `def` handler runs on the worker's own thread; an `async def` handler runs on one event loop that all requests of
the process share, so that connection pools and locks which belong to a loop keep working.

Always request-response: the journal is complete when the request is, the response is sent when the handler stopped.

Source: PEP 3333; service protocol, "Streaming versus request/response".
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.attempt import new_machine
from durably.authoring.drivers import Disconnected
from durably.authoring.sync_attempt import run_sync_attempt
from durably.errors import ProtocolError, RemoteProtocolError
from durably.hosting import watchdog
from durably.hosting.body import read_body
from durably.hosting.mode import mode_of_wsgi
from durably.hosting.options import DEFAULT_HOSTING, HostingOptions
from durably.hosting.process_loop import run_on_process_loop
from durably.hosting.request_log import Refusal, request_log
from durably.hosting.routes import (
    Answer,
    Invocation,
    Request,
    Routes,
    internal_failure,
    malformed_request,
    response_head,
)
from durably.hosting.thread_pool import ThreadPool

if TYPE_CHECKING:
    from durably.authoring.endpoint import Endpoint
    from durably.machine import Machine

__all__ = ["WsgiApp"]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_HELPER_THREADS: Final = 64  # durable steps running beside their handlers, all requests together
_DRAIN_LIMIT_BYTES: Final = 64 * 1024 * 1024  # of a refused request; then the server closes the connection

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})

_logger = logging.getLogger(__name__)


class WsgiApp:
    """Serves an endpoint to any WSGI server that speaks HTTP/1.1; mount it under any prefix."""

    def __init__(self, endpoint: Endpoint, options: HostingOptions = DEFAULT_HOSTING) -> None:
        """Serve `endpoint` with `options`; its `threads` do not matter here, because the server has its own."""
        self._endpoint = endpoint
        self._routes = Routes(endpoint, options)
        self._helpers = ThreadPool(_HELPER_THREADS, "durably-step")
        watchdog.set_threshold(options.blocked_after)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; the answer always has a Content-Length."""
        request = _request_of(environ)
        try:
            routed = self._routes.route(request)
            if isinstance(routed, Answer):
                _drain_request(environ, request.method)
                answer = routed
            else:
                answer = self._invoke(routed, environ)
        except RemoteProtocolError as error:
            answer = malformed_request(request.path, request.peer, error.message)
        except OSError as error:
            # The peer is gone; the server finds out when it writes.
            _logger.debug("The peer of %s went away: %s", request.path, error)
            answer = malformed_request(request.path, request.peer, "the request ended early")
        except Exception as error:
            _logger.exception("The endpoint failed.")
            answer = internal_failure(request.path, request.peer, type(error).__name__)
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        start_response(status, [*answer.headers, ("content-length", str(len(answer.body)))])
        return [] if request.method == "HEAD" else [answer.body]

    def _invoke(self, invocation: Invocation, environ: Environ) -> Answer:
        machine = new_machine(invocation.handler, self._endpoint, invocation.version)
        chunks = read_body(environ)
        if invocation.handler.is_async:
            body = run_on_process_loop(invocation, self._endpoint, machine, chunks)
        elif _feed_journal(invocation, machine, chunks):
            body = self._run_here(invocation, machine, chunks)
        else:
            body = machine.data_to_send()
        _discard(chunks)
        return Answer(200, response_head(invocation.version), body)

    def _run_here(self, invocation: Invocation, machine: Machine, chunks: Iterator[bytes]) -> bytes:
        request = _WholeRequest(chunks, self._helpers)
        try:
            run_sync_attempt(invocation.handler, self._endpoint, machine, invocation.headers, request)
        except Disconnected as signal:
            raise request.error or OSError("the peer went away") from signal
        return request.output()


class _WholeRequest:
    """The blocking I/O of an attempt whose input is read as it is wanted, and whose output is kept until the end.

    Attributes:
        error: Why the request could not be read to its end, or None.
    """

    def __init__(self, chunks: Iterator[bytes], helpers: ThreadPool) -> None:
        self._chunks = chunks
        self._helpers = helpers
        self._output: list[bytes] = []
        self._gave_eof = False
        self._woken = threading.Event()
        self.error: OSError | RemoteProtocolError | None = None

    def send(self, data: bytes) -> None:
        self._output.append(data)

    def receive(self) -> bytes | None:
        """Give the next chunk, then None once; after that wait until a helper calls `wake`."""
        if self._gave_eof or self._woken.is_set():
            self._woken.wait()
            self._woken.clear()
            return b""
        try:
            chunk = next(self._chunks, None)
        except (OSError, RemoteProtocolError) as error:
            self.error = error
            raise Disconnected from error
        self._gave_eof = chunk is None
        return chunk

    def wake(self) -> None:
        self._woken.set()

    def submit(self, function: Callable[[], None]) -> None:
        context = contextvars.copy_context()
        self._helpers.submit(lambda: context.run(function))

    def when_disconnected(self, callback: Callable[[], None]) -> None:
        """Do nothing: WSGI does not tell."""

    def output(self) -> bytes:
        return b"".join(self._output)


def _feed_journal(invocation: Invocation, machine: Machine, chunks: Iterator[bytes]) -> bool:
    """Feed the machine until the attempt can start. Gives False when it never will; the machine has the answer then."""
    while not machine.is_ready_to_execute:
        chunk = next(chunks, None)
        try:
            if chunk is None:
                machine.receive_eof()
            else:
                machine.receive_data(chunk)
        except ProtocolError as error:
            request_log.refused(
                Refusal.MALFORMED_BODY, status=200, path=invocation.path, peer=invocation.peer, reason=error.message
            )
            return False
    return True


def _drain_request(environ: Environ, method: str) -> None:
    # A keep-alive connection whose request was not read to its end would read the rest as the next request.
    if method not in ("GET", "HEAD"):
        _discard(read_body(environ))


def _discard(chunks: Iterator[bytes]) -> None:
    left = _DRAIN_LIMIT_BYTES
    for chunk in chunks:
        left -= len(chunk)
        if left <= 0:
            return


def _request_of(environ: Environ) -> Request:
    headers = [
        (key[5:].replace("_", "-").lower(), str(value)) for key, value in environ.items() if key.startswith("HTTP_")
    ]
    headers.extend(
        (name, environ[key])
        for key, name in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length"))
        if environ.get(key)
    )
    # PEP 3333: the path's bytes, decoded as Latin-1.
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    return Request(
        method=environ["REQUEST_METHOD"],
        path=path,
        headers=headers,
        mode=mode_of_wsgi(),
        peer=_peer_of(environ),
    )


def _peer_of(environ: Environ) -> str | None:
    """Give the peer's address, if it can be believed.

    Waitress takes away the headers by which a proxy on this machine gives itself away; then everybody on the other
    side of it would seem to be local.
    """
    address: str = environ.get("REMOTE_ADDR") or ""
    is_hidden = str(environ.get("SERVER_SOFTWARE", "")).startswith("waitress") and address in _LOOPBACK
    return None if is_hidden else address or None
