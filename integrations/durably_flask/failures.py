"""What exceptions mean in a durable view, on an attempt and back at the edge.

Owns the translation into terminal errors with the response that the application would have given, and the way back.

| raised on an attempt | becomes | at the edge |
|---|---|---|
| `TerminalError` | itself | `abort(status)` with its message |
| `abort(4xx)`, and what the application has an error handler for that answers with a 4xx | terminal | that response |
| an error handler that answers below 400, redirects | a result | that response |
| `abort(5xx)`, a handler that answers with a 5xx | retried | |
| anything else | what `failures=` says, else retried | |

The same holds for what a step raises, and a handler of a service: there the application's error handlers are asked
with an empty request, and give the status.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, after_this_request, has_request_context, request
from flask.wrappers import Response
from werkzeug.exceptions import HTTPException, default_exceptions

from durably.authoring.failures import FailureMap
from durably.errors import OutcomeError, TerminalError
from durably.web.outcomes import Failed
from durably.web.responses import CarriedResponse
from durably_flask.responses import carry, rebuild

__all__ = ["application_failures", "ask_application", "give_failure", "terminal_of"]

_RESPONSE: Final = "durably.response"
_ASKED: Final = "__durably_asked__"  # marks an exception that the application has no answer for
_FIRST_CLIENT_ERROR: Final = 400
_FIRST_SERVER_ERROR: Final = 500

_logger = logging.getLogger("durably.flask")


def ask_application(app: Flask, error: Exception) -> Response:
    """Give what the application answers to an exception, as for a plain view.

    Raises:
        Exception: `error` itself, where nobody answers it, or answers with a 5xx; what its handler raises.
    """
    setattr(error, _ASKED, True)
    if isinstance(error, HTTPException) and error.response is None and (error.code or 500) >= _FIRST_SERVER_ERROR:
        raise error
    try:
        raise error  # which Flask raises again where there is no handler
    except Exception:
        answered: Any = app.handle_user_exception(error)
    if isinstance(answered, HTTPException):
        answered = answered.get_response(request.environ)
    response = app.make_response(answered)
    if response.status_code >= _FIRST_SERVER_ERROR:
        raise error
    return response


def application_failures(app: Flask) -> FailureMap:
    """Give the rules for what steps and handlers raise: what the application answers with a 4xx is terminal."""

    def ask(error: Exception) -> TerminalError | None:
        if isinstance(error, OutcomeError) or hasattr(error, _ASKED):
            return None
        is_view = has_request_context()
        within: AbstractContextManager[object] = nullcontext() if is_view else app.test_request_context()
        with within:
            try:
                response = ask_application(app, error)
                carried = carry(response, f"The error handler for {type(error).__name__}")
            except Exception as raised:
                if raised is not error:
                    _logger.exception("The error handler for %s failed on an attempt.", type(error).__name__)
                return None
        if carried.status < _FIRST_CLIENT_ERROR:
            return None
        terminal = terminal_of(error, carried)
        return terminal if is_view else TerminalError(terminal.message, terminal.status_code)

    return FailureMap({Exception: ask})


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
