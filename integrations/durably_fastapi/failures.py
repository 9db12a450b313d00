"""What exceptions mean in an application of FastAPI, on an attempt and back at the edge.

Owns the translation of framework exceptions into terminal errors with their status, and of a failed outcome back into
the exception, or the response, that a route without durability would have given. What does not fit into a status and a
text travels in the failure's metadata.

| raised on an attempt | becomes | at the edge |
|---|---|---|
| `HTTPException` below 500 | terminal, with status, detail and headers | the same exception |
| `HTTPException` from 500 on | retried | |
| `RequestValidationError`, pydantic's `ValidationError` | terminal 422 with the errors | `RequestValidationError` |
| `ResponseValidationError`, for what it returned | terminal 500 with the errors | the same exception |
| what the app has a handler for that answers with a 4xx | terminal with that answer | that answer |
| anything else | what `failures=` says, else retried | |
"""

from __future__ import annotations

import asyncio
import http
import inspect
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import pydantic
from fastapi import HTTPException
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import (
    RequestValidationError,
    ResponseValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import Response

from durably.authoring.current import current_attempt
from durably.authoring.failures import FailureMap, FailureRule
from durably.errors import OutcomeError, TerminalError
from durably.web.outcomes import Failed
from durably.web.responses import read_response
from durably_fastapi.host import Host
from durably_fastapi.results import carry, rebuild
from durably_fastapi.shim import to_json

__all__ = ["answer_failure", "framework_failures"]

_logger: Final = logging.getLogger("durably.fastapi")

_DETAIL: Final = "durably.detail"
_HEADERS: Final = "durably.headers"
_ERRORS: Final = "durably.errors"
_RESULT_ERRORS: Final = "durably.result_errors"
_RESPONSE: Final = "durably.response"

_FIRST_SERVER_ERROR: Final = 500
_FIRST_CLIENT_ERROR: Final = 400

_GENERAL: Final = (
    Exception,
    StarletteHTTPException,
    HTTPException,
    RequestValidationError,
    ResponseValidationError,
    WebSocketRequestValidationError,
)
"""Exceptions whose handlers write answers of their own accord at the edge, when the exception is raised there."""


def framework_failures(host: Host) -> FailureMap:
    """Give the rules for all handlers of an application; a map of the user's goes over it (`ours | theirs`).

    `HTTPException` below 500 and invalid input are terminal with their status, and a result that the route refuses is
    with 500: the steps are done, and every further attempt would return the same. So is what the application has an
    exception handler for, if that answers with a 4xx. `host.app` is looked at when an exception comes, not before.
    """

    def of_any(error: Exception) -> TerminalError | None:
        return None if isinstance(error, OutcomeError) else _ask_application(host, error)

    def of_http(error: StarletteHTTPException) -> TerminalError | None:
        return _ask_application(host, error) or _of_http_exception(error)

    rules: dict[type[BaseException], FailureRule] = {
        StarletteHTTPException: of_http,
        RequestValidationError: _of_validation,
        ResponseValidationError: _of_refused_result,
        pydantic.ValidationError: lambda error: _ask_application(host, error) or _of_validation(error),
        Exception: of_any,
    }
    return FailureMap(rules)


def _of_http_exception(error: StarletteHTTPException) -> TerminalError | None:
    if error.status_code >= _FIRST_SERVER_ERROR:
        return None
    detail: Any = error.detail
    metadata: dict[str, str] = {}
    if not isinstance(detail, str):
        metadata[_DETAIL] = to_json(jsonable_encoder(detail)).decode()
    if error.headers:
        metadata[_HEADERS] = to_json(dict(error.headers)).decode()
    message = detail if isinstance(detail, str) else metadata[_DETAIL]
    return TerminalError(message, error.status_code, metadata or None)


def _of_validation(error: RequestValidationError | pydantic.ValidationError) -> TerminalError:
    """Take what is wrong, without the values that were wrong."""
    errors, places = _without_values(error)
    return TerminalError(f"Invalid input: {places}.", 422, {_ERRORS: errors})


def _of_refused_result(error: ResponseValidationError) -> TerminalError:
    errors, places = _without_values(error)
    attempt = current_attempt.get()
    where = "An endpoint" if attempt is None else attempt.describe()
    _logger.error("%s returned what its route's response model refuses, so the call fails: %s.", where, places)
    return TerminalError(
        f"The result is not what the response model promises: {places}.", 500, {_RESULT_ERRORS: errors}
    )


def _without_values(error: ValidationException | pydantic.ValidationError) -> tuple[str, str]:
    found = [{key: each[key] for key in ("type", "loc", "msg")} for each in error.errors()]
    places = "; ".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found)
    return to_json(jsonable_encoder(found)).decode(), places


def _ask_application(host: Host, error: Exception) -> TerminalError | None:
    """Give what the application's own exception handler makes of `error`, if that is an answer with a 4xx."""
    app = host.app
    if app is None:
        return None
    handlers = cast("Mapping[Any, Callable[..., Any]]", app.exception_handlers)
    kind = next((each for each in type(error).__mro__ if each in handlers), None)
    if kind is None or kind in _GENERAL:
        return None
    try:
        response = _call(handlers[kind], _synthetic_request(app), error)
        if not isinstance(response, Response) or not _FIRST_CLIENT_ERROR <= response.status_code < _FIRST_SERVER_ERROR:
            return None
        carried = carry(response, f"The exception handler for {kind.__name__}")
    except Exception:
        _logger.exception("The exception handler for %s failed on an attempt.", kind.__name__)
        return None
    message = str(error) or http.HTTPStatus(response.status_code).phrase
    return TerminalError(message, response.status_code, {_RESPONSE: carried.to_json().decode()})


def _synthetic_request(app: Any) -> Request:
    """Give a request for an exception handler: it says nothing but which application it is."""
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "server": ("durably", 80),
        "client": None,
        "app": app,
        "path_params": {},
        "state": {},
    }
    return Request(scope)


def _call(handler: Callable[..., Any], request: Request, error: Exception) -> Any:
    """Call an exception handler, `def` or `async def`, where nothing can be awaited."""
    result = handler(request, error)
    if not inspect.isawaitable(result):
        return result
    if inspect.iscoroutine(result):
        try:
            result.send(None)
        except StopIteration as stop:  # it waited for nothing, as nearly all do
            return stop.value
        result.close()
    return _call_in_thread(lambda: handler(request, error))


def _call_in_thread(call: Callable[[], Awaitable[Any]]) -> Any:
    """Await on an event loop of its own; this one may be busy with us."""
    results: list[Any] = []
    errors: list[BaseException] = []

    async def wait() -> Any:
        return await call()

    def run() -> None:
        try:
            results.append(asyncio.run(wait()))
        except BaseException as error:  # raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=run, name="durably-exception-handler")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def answer_failure(failed: Failed) -> Response:
    """Give the answer to a failed call.

    Raises:
        HTTPException: For the application's handler of it to write.
        RequestValidationError: As above.
        ResponseValidationError: As without durability: the application's handler of it answers, or the server with 500.
    """
    metadata = failed.metadata
    if _RESPONSE in metadata:
        carried = read_response(metadata[_RESPONSE].encode())
        if carried is not None:
            response = rebuild(carried)
            response.headers.update(failed.headers)
            return response
    if _ERRORS in metadata:
        raise RequestValidationError(json.loads(metadata[_ERRORS]))
    if _RESULT_ERRORS in metadata:
        raise ResponseValidationError(json.loads(metadata[_RESULT_ERRORS]))
    detail: Any = json.loads(metadata[_DETAIL]) if _DETAIL in metadata else failed.message
    headers: dict[str, str] = json.loads(metadata[_HEADERS]) if _HEADERS in metadata else {}
    raise HTTPException(failed.status, detail, {**headers, **failed.headers} or None)
