"""What an HTTP call of a durable view does before and after the invocation.

Owns the step from a request to a call of the handler and back to a response, in both colours. No database connection
is held while the call waits for its result.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import get_script_prefix

from durably.authoring.handlers import Handler
from durably.errors import EngineStoppedError, StoreError
from durably.web.calls import EndpointCall, perform, perform_blocking
from durably_django.answers import answer
from durably_django.database import refuse_open_blocks, release_connections
from durably_django.runtime import runtime
from durably_django.stored_request import StoredRequest, StoredRequestSerde, user_key
from durably_django.uploads import upload_bytes

__all__ = ["call_async", "call_blocking"]

_SERDE: Final = StoredRequestSerde()
_ROUNDS: Final = 2000
_HANDED_ON: Final = ("traceparent", "tracestate", "baggage")

_logger = logging.getLogger("durably.django")


def call_blocking(
    handler: Handler, key: str | None, request: HttpRequest, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> HttpResponse:
    """Call the handler of a `def` view, and answer.

    Args:
        handler: Of the view.
        key: The route's value that is the key, or None.
        request: As it came in.
        args: Positional values of the route.
        kwargs: Named values of the route.
    """
    call = _prepare(handler, key, request, args, kwargs)
    if isinstance(call, HttpResponse):
        return call
    return answer(request, perform_blocking(runtime.link, call))


async def call_async(
    handler: Handler, key: str | None, request: HttpRequest, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> HttpResponse:
    """Call the handler of an `async def` view, and answer; see `call_blocking`."""
    call = await sync_to_async(_prepare)(handler, key, request, args, kwargs)
    if isinstance(call, HttpResponse):
        return call
    return answer(request, await perform(runtime.link, call))


def _prepare(
    handler: Handler, key: str | None, request: HttpRequest, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> EndpointCall | HttpResponse:
    try:
        settings = runtime.link.settings
    except (EngineStoppedError, StoreError):
        _logger.exception("The runtime of durable handlers does not run.")
        return JsonResponse({"detail": "Service Unavailable"}, status=503, headers={"Retry-After": "1"})
    refuse_open_blocks(f"{handler.service_name}/{handler.name}")
    size = upload_bytes(request)
    if size > settings.max_upload_bytes:
        detail = (
            f"The files of this call have {size} bytes; a durable view takes {settings.max_upload_bytes}. Upload large"
            " files to a view that is not durable, and pass on where they are."
        )
        return JsonResponse({"detail": detail}, status=413)
    stored = StoredRequest.of(request, args, kwargs)
    idempotency_key = request.headers.get("Idempotency-Key")
    call = EndpointCall(
        handler=handler,
        payload=_SERDE.serialize(stored),
        key=None if key is None else str(kwargs.get(key, "")),
        idempotency_key=idempotency_key,
        identity=None if idempotency_key is None else _identity(request),
        prefer=request.headers.get("Prefer"),
        headers={name: request.headers[name] for name in _HANDED_ON if name in request.headers},
        root_path=get_script_prefix(),
    )
    release_connections()
    return call


def _identity(request: HttpRequest) -> bytes | None:
    """Give what is the caller's own: the user, or where nobody is logged in, a digest of `Authorization`."""
    user = user_key(request)
    if user is not None:
        return b"user:" + user.encode()
    credentials = request.headers.get("Authorization")
    if credentials is None:
        return None
    # Slower than a plain digest: what is stored must not help to guess a password.
    return hashlib.pbkdf2_hmac("sha256", credentials.encode(), b"durably identity", _ROUNDS)
