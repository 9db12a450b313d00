"""What an endpoint returned, on its way through the journal.

Owns the form in which results travel. A plain result travels as the JSON that the route would answer with, so that
other services get the same, and so that what `response_model` filters out is not journaled. A returned response
travels with its status, headers and body.
"""

from __future__ import annotations

import json
import logging
import typing
from collections.abc import Callable
from typing import Any, Final, cast

from fastapi.routing import APIRoute
from starlette.responses import FileResponse, Response, StreamingResponse

from durably.errors import RegistrationError, SerdeError, TerminalError, UsageError
from durably.schemas import check_written
from durably.serde import TypedSerde
from durably.web.responses import CarriedResponse, as_data, plain_json, read_response
from durably_fastapi.analysis import alternatives
from durably_fastapi.shim import serialize_result, to_json

__all__ = ["ResultSerde", "carry", "rebuild", "refuse_streams", "result_serde"]

_LENGTH: Final = "content-length"

_logger: Final = logging.getLogger("durably.fastapi")


def rebuild(carried: CarriedResponse) -> Response:
    """Make the response again."""
    response = Response(carried.body, carried.status)
    length = [entry for entry in response.raw_headers if entry[0] == _LENGTH.encode()]
    given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in carried.headers]
    response.raw_headers = given + length
    return response


def carry(response: Response, where: str) -> CarriedResponse:
    """Take what can be recorded of a response.

    Raises:
        TerminalError: It is made while it is sent, or has work attached to it; a retry would give the same.
    """
    name = type(response).__name__
    body: object = getattr(response, "body", None)
    if isinstance(response, (StreamingResponse, FileResponse)) or not isinstance(body, (bytes, memoryview)):
        raise TerminalError(
            f"{where} returned a {name}, which cannot be recorded. Return data or a response with a body, or serve the"
            " stream from a route that is not durable."
        )
    if response.background is not None:
        raise TerminalError(
            f"{where} returned a {name} with background tasks, which would be lost in a crash. Call them with ctx.run,"
            " or send them to a handler."
        )
    headers = tuple(
        (key.decode("latin-1"), value.decode("latin-1"))
        for key, value in response.raw_headers
        if key.decode("latin-1").lower() != _LENGTH
    )
    return CarriedResponse(response.status_code, headers, bytes(cast("bytes", body)))


class ResultSerde(TypedSerde[Any]):
    """Writes results as the endpoint's route does, and reads them as what the function says it returns."""

    __slots__ = ("_find_route", "_where")

    def __init__(self, hint: Any, find_route: Callable[[], APIRoute | None], where: str) -> None:
        """Take the function's return type, and how to find its route once the application is complete."""
        super().__init__(hint)
        self._find_route = find_route
        self._where = where

    def serialize(self, obj: Any) -> bytes:
        """Write a result or a response.

        Raises:
            TerminalError: A response that cannot be recorded, or a result without a JSON form.
            ResponseValidationError: Not what the route promises.
        """
        if isinstance(obj, Response):
            return carry(obj, self._where).to_json()
        try:
            content = serialize_result(self._find_route(), obj)
            data = b"" if content is None else to_json(content)
        except (TypeError, ValueError) as error:
            raise self._has_no_json(error) from error
        if content is None:
            return b""
        check_written(data)
        return as_data(data)

    def _has_no_json(self, error: Exception) -> TerminalError:
        _logger.error("%s returned what has no JSON form, so the call fails.", self._where, exc_info=error)
        return TerminalError(f"The result of {self._where} has no JSON form.")

    def deserialize(self, buf: bytes) -> Any:
        """Read a result; of a response, its body if that is JSON.

        Raises:
            SerdeError: Not what the function says it returns.
        """
        response = read_response(buf)
        if response is None:
            return super().deserialize(plain_json(buf))
        try:
            return json.loads(response.body) if response.body else None
        except ValueError as error:
            raise SerdeError(f"{self._where} answered with a response that is not JSON.") from error


def result_serde(hint: Any, find_route: Callable[[], APIRoute | None], where: str) -> ResultSerde:
    """Give the serde for a function's return type; plain JSON where nothing can be said about it."""
    if any(isinstance(each, type) and issubclass(each, Response) for each in alternatives(hint)):
        return ResultSerde(Any, find_route, where)
    try:
        return ResultSerde(hint, find_route, where)
    except UsageError:  # for example a table's class, beside a response_model
        return ResultSerde(Any, find_route, where)


def refuse_streams(hint: Any, where: str) -> None:
    """Refuse a return type that cannot be recorded.

    Raises:
        RegistrationError: It is a stream.
    """
    for each in alternatives(hint):
        origin = typing.get_origin(each) or each
        if isinstance(origin, type) and (
            issubclass(origin, (StreamingResponse, FileResponse))
            or origin in _ITERATORS
            or _is_event_source(cast("type[Any]", origin))
        ):
            raise RegistrationError(
                f"{where} returns a {origin.__name__}, which cannot be recorded.",
                hint="Return data or a response with a body, or serve the stream from a route that is not durable.",
            )


def _is_event_source(kind: type[Any]) -> bool:
    return any(each.__name__ == "EventSourceResponse" for each in kind.__mro__)


_ITERATORS: Final = tuple(
    cast("Any", typing.get_origin(each))
    for each in (
        typing.AsyncIterator[int],
        typing.AsyncIterable[int],
        typing.AsyncGenerator[int, None],
        typing.Iterator[int],
        typing.Generator[int, None, None],
    )
)
