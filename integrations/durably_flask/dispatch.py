"""What stands before an application: the runtime's own requests, and the start of the runtime.

Owns the order in which a request is looked at. The runtime's requests never pass the functions that an application
runs before and after requests, nor its middleware that was added before `Durably`.

| path | goes to |
|---|---|
| `{prefix}/health` | answered here |
| `{prefix}/discover`, `{prefix}/invoke/…` | the endpoint; the application if the engine is embedded |
| other | the application |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from durably.hosting.routes import Answer, Request, Routes
from durably.protocol.manifest import ProtocolMode
from durably_flask.detaching import Detached, hand_over

if TYPE_CHECKING:
    from durably_flask.state import AppState

__all__ = ["Dispatch", "health"]

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Dispatch:
    """Wraps the WSGI application of a Flask application."""

    def __init__(self, wsgi_app: WsgiApp, state: AppState) -> None:
        """Stand before `wsgi_app`."""
        self._wsgi_app = wsgi_app
        self._state = state
        self._prefix = state.settings.prefix

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        state = self._state
        path = str(environ.get("PATH_INFO", ""))
        rest = path[len(self._prefix) :] if path.startswith(f"{self._prefix}/") else ""
        is_runtime = rest == "/discover" or rest.startswith("/invoke/")
        if is_runtime or not state.app.testing:
            state.try_start()
        if rest == "/health":
            return health(state, environ["REQUEST_METHOD"])(environ, start_response)
        if is_runtime:
            invoke_app = state.link.wsgi_invoke_app
            if invoke_app is not None:
                return invoke_app(environ, start_response)
        try:
            return self._wsgi_app(environ, start_response)
        except Detached as detached:
            return hand_over(state.app, environ, start_response, detached)


def health(state: AppState, method: str) -> Response:
    """Answer whether the application serves."""
    answer = Routes(state.link.endpoint).route(Request(method, "/health", (), ProtocolMode.REQUEST_RESPONSE))
    if not isinstance(answer, Answer):
        return Response(status=404)
    return Response(answer.body, answer.status, dict(answer.headers))
