"""From the outcome of a durable call to the HTTP answer.

Owns the one way to it, for the endpoint's own route and for the polling route: both give the same answer, with the
status, the response class and the headers of the route.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, assert_never

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from durably.web.outcomes import Accepted, Done, Failed, Outcome
from durably.web.responses import plain_json, read_response
from durably_fastapi.failures import answer_failure
from durably_fastapi.results import rebuild
from durably_fastapi.shim import is_default_response, response_class_of, route_of

if TYPE_CHECKING:
    from durably_fastapi.endpoint import DurableEndpoint

__all__ = ["answer"]

_NO_BODY: Final = frozenset({204, 205, 304})
_FIRST_FINAL_STATUS: Final = 200


async def answer(
    endpoint: DurableEndpoint | None, outcome: Outcome, request: Request, given: Response | None = None
) -> Response:
    """Give the answer that the endpoint's own route gives for `outcome`.

    Args:
        endpoint: `find_endpoint` of the handler that was invoked; None for a handler that is no endpoint, whose result
            is answered as it is.
        outcome: Of the call, or of a poll.
        request: Of the call, or of the poll.
        given: The response on which dependencies at the edge have set headers or a status.

    Raises:
        HTTPException: The invocation failed; the application's own handler for it writes the answer.
        RequestValidationError: As above, where the input was refused on an attempt.
    """
    match outcome:
        case Done():
            route = None if endpoint is None else route_of(request, endpoint.routes())
            response = _answer_result(outcome.body, route, given)
        case Accepted():
            response = JSONResponse(outcome.content, 202)
        case Failed():
            return answer_failure(outcome)
        case _:
            assert_never(outcome)
    for name, value in outcome.headers.items():
        response.headers[name] = value
    return response


def _answer_result(data: bytes, route: APIRoute | None, given: Response | None) -> Response:
    carried = read_response(data)
    if carried is not None:
        return rebuild(carried)
    body = plain_json(data) or b"null"
    arguments: dict[str, Any] = {}
    status = given.status_code if given is not None and given.status_code else route.status_code if route else None
    if status is not None:
        arguments["status_code"] = status
    if is_default_response(route):
        response = Response(body, media_type="application/json", **arguments)
    else:
        response = response_class_of(route)(json.loads(body), **arguments)
    if response.status_code < _FIRST_FINAL_STATUS or response.status_code in _NO_BODY:
        response.body = b""
    if given is not None:
        response.raw_headers.extend(entry for entry in given.raw_headers if entry[0] != b"content-length")
    return response
