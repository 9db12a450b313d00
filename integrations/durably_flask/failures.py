"""What exceptions mean in a durable view, on an attempt and back at the edge.

Owns the translation into terminal errors with the response that the application would have given, and the way back.

| raised on an attempt | becomes | at the edge |
|---|---|---|
| `TerminalError` | itself | `abort(status)` with its message |
| `abort(4xx)`, and what the application has an error handler for that answers with a 4xx | terminal | that response |
| an error handler that answers below 400, redirects | a result | that response |
| `abort(5xx)`, a handler that answers with a 5xx | retried | |
| anything else | what `failures=` says, else retried | |
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, after_this_request, request
from flask.wrappers import Response
from werkzeug.exceptions import HTTPException, default_exceptions

from durably.errors import TerminalError
from durably.web.outcomes import Failed
from durably.web.responses import CarriedResponse
from durably_flask.responses import rebuild

__all__ = ["ask_application", "give_failure", "terminal_of"]

_RESPONSE: Final = "durably.response"
_FIRST_SERVER_ERROR: Final = 500


def ask_application(app: Flask, error: Exception) -> Response:
    """Give what the application answers to an exception, as for a plain view.

    Raises:
        Exception: `error` itself, where nobody answers it, or answers with a 5xx; what its handler raises.
    """
    if isinstance(error, HTTPException) and error.response is None and (error.code or 500) >= _FIRST_SERVER_ERROR:
        raise error
    answered: Any = app.handle_user_exception(error)
    if isinstance(answered, HTTPException):
        answered = answered.get_response(request.environ)
    response = app.make_response(answered)
    if response.status_code >= _FIRST_SERVER_ERROR:
        raise error
    return response


def terminal_of(error: Exception, carried: CarriedResponse) -> TerminalError:
    """Give the terminal error of an exception that was answered with a 4xx."""
    text = error.description if isinstance(error, HTTPException) else str(error)
    message = text or HTTPStatus(carried.status).phrase
    return TerminalError(message, carried.status, {_RESPONSE: carried.to_json().decode()})


def give_failure(app: Flask, failed: Failed) -> Response:
    """Give the response that a failed attempt carried, or raise.

    Raises:
        HTTPException: For the application's error handler to answer.
    """
    if _RESPONSE in failed.metadata:
        response = rebuild(app, failed.metadata[_RESPONSE].encode())
        response.headers.update(dict(failed.headers))
        return response
    raise _exception(failed.status, failed.message, failed.headers)


def _exception(status: int, message: str, headers: Mapping[str, str]) -> HTTPException:
    if headers:

        def add_headers(response: Response) -> Response:
            response.headers.update(dict(headers))
            return response

        after_this_request(add_headers)
    kind = default_exceptions.get(status)
    if kind is None:  # error handlers are looked up by the code of the class
        kind = type(f"Status{status}", (HTTPException,), {"code": status})
    return kind(message)
