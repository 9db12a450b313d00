"""Responses of durable views on their way into the journal, and from the outcome of a call to the HTTP answer.

Owns both ways, for the view's own route and for the polling route: both give the same answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, assert_never

from django.http import HttpRequest, HttpResponse, JsonResponse

from durably.errors import SerdeError, TerminalError, UsageError
from durably.serde import Serde
from durably.web.outcomes import Accepted, Done, Failed, Outcome
from durably.web.responses import CarriedResponse, plain_json, read_response
from durably_django.failures import answer_failure
from durably_django.messages import hand_on

__all__ = ["ResponseSerde", "answer", "carry"]


def carry(response: Any, where: str) -> CarriedResponse:
    """Take what can be recorded of a response.

    Raises:
        TerminalError: It is made while it is sent, or sets a cookie; a retry would give the same.
        UsageError: It is no response.
    """
    if getattr(response, "streaming", False):
        # Not `close()`: it would also tell the project that a request is over.
        closers: list[Callable[[], object]] = getattr(response, "_resource_closers", [])
        for close in closers:
            close()
        raise TerminalError(
            f"{where} returned a {type(response).__name__}, which cannot be recorded. Return a response with a body, or"
            " serve the stream from a view that is not durable."
        )
    if not isinstance(response, HttpResponse):
        raise UsageError(
            f"{where} returned a {type(response).__name__}, not a response.",
            hint="Return an HttpResponse, a JsonResponse, or what render() gives.",
        )
    render = getattr(response, "render", None)
    if callable(render):
        render()
    if response.cookies:
        raise TerminalError(
            f"{where} sets a cookie, which would be stored in the journal. Set it from a view that is not durable."
        )
    headers = tuple((name.lower(), value) for name, value in response.items() if name.lower() != "content-length")
    return CarriedResponse(response.status_code, headers, bytes(response.content))


class ResponseSerde(Serde[Any]):
    """Writes responses; for other services that call the view, reads their bodies as JSON."""

    def __init__(self, where: str) -> None:
        """Name the view in messages as `where`."""
        self._where = where

    def serialize(self, obj: Any) -> bytes:
        """Write a response.

        Raises:
            TerminalError: It cannot be recorded.
            UsageError: It is none.
        """
        return carry(obj, self._where).to_json()

    def deserialize(self, buf: bytes) -> Any:
        """Give the JSON in the response's body.

        Raises:
            SerdeError: The body is not JSON.
        """
        carried = read_response(buf)
        body = plain_json(buf) if carried is None else carried.body
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise SerdeError(f"{self._where} answered with a response that is not JSON.") from error


def answer(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    """Give the HTTP answer of a call or a poll; messages to the user are added to `request`.

    Raises:
        Http404: The view raised it; so `PermissionDenied` and `BadRequest`.
    """
    match outcome:
        case Done():
            response = _of_result(outcome.body)
            hand_on(request, response)
        case Accepted():
            response = JsonResponse(outcome.content, status=202)
        case Failed():
            return answer_failure(outcome)
        case _:
            assert_never(outcome)
    for name, value in outcome.headers.items():
        response[name] = value
    return response


def _of_result(data: bytes) -> HttpResponse:
    carried = read_response(data)
    if carried is None:
        return HttpResponse(plain_json(data) or b"null", content_type="application/json")
    response = HttpResponse(carried.body, status=carried.status)
    del response["Content-Type"]
    for name, value in carried.headers:
        response[name] = value
    return response
