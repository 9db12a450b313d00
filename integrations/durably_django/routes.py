"""The views behind durably's own routes.

Owns health, results, and the way from a Restate Server's request to the WSGI application of the endpoint. That one is
never a form of a logged-in person: it is exempt from the check of CSRF tokens, from login and from atomic requests, and
trusts signatures, or loopback, instead. No other view is.
"""

from __future__ import annotations

import contextvars
from typing import Any

from django.db import connections
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import get_script_prefix
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from durably.errors import DurablyError
from durably.web.calls import poll_blocking
from durably_django.answers import answer
from durably_django.database import release_connections
from durably_django.runtime import runtime

__all__ = ["health", "result", "serve_runtime"]


def _open(view: Any) -> Any:
    """Let a view be reached without login and outside of transactions."""
    view.login_required = False  # what `login_not_required` sets, where Django has it
    view._non_atomic_requests = set(connections)
    return view


@_open
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Say whether durable handlers can run here."""
    try:
        started = runtime.link.is_started
    except DurablyError as error:
        return JsonResponse({"status": "down", "detail": error.message}, status=503)
    return JsonResponse({"status": "ok" if started else "down"}, status=200 if started else 503)


@_open
@require_safe
def result(request: HttpRequest, token: str) -> HttpResponse:
    """Answer with a result that a caller did not wait for."""
    link = runtime.link
    release_connections()
    return answer(request, poll_blocking(link, token, request.headers.get("Prefer"), get_script_prefix()))


@_open
@csrf_exempt
def serve_runtime(request: HttpRequest) -> HttpResponse:
    """Serve a request of a Restate Server, without streaming.

    Raises:
        Http404: The engine is embedded: nothing is called from outside.
    """
    app = runtime.link.wsgi_invoke_app
    if app is None:
        raise Http404
    release_connections()  # what middleware has opened; the handler opens its own
    request.META.pop("HTTP_ACCEPT_ENCODING", None)  # so that middleware above has no reason to compress the answer
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        head.extend((int(status.split(" ", 1)[0]), headers))

    # In a context of its own: under ASGI the request's would send a handler's thread-sensitive code to this thread,
    # which waits for the handler.
    body = b"".join(contextvars.Context().run(app, _environ(request), start_response))
    response = HttpResponse(body, status=head[0])
    del response["Content-Type"]
    for name, value in head[1]:
        response[name] = value
    return response


def _environ(request: HttpRequest) -> dict[str, Any]:
    """Give the WSGI environment; under ASGI, where Django has read the body already, one that is made up."""
    environ: dict[str, Any] | None = getattr(request, "environ", None)
    if environ is not None:
        return environ
    made: dict[str, Any] = {name: value for name, value in request.META.items() if isinstance(value, str)}
    path = request.path_info.encode().decode("latin-1")
    made.update({"REQUEST_METHOD": request.method, "PATH_INFO": path, "wsgi.input": request, "asgi.scope": True})
    return made
