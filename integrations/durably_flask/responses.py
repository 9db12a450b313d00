"""Flask's responses, and what the journal keeps of them.

Owns the way there and back. A plain JSON answer with status 200 travels as its JSON, so that other services get the
value; any other travels with status, headers and body.
"""

from __future__ import annotations

import json
from typing import Any, Final

from flask import Flask
from flask.wrappers import Response

from durably.errors import SerdeError, TerminalError
from durably.serde import Serde
from durably.web.responses import CarriedResponse, as_data, plain_json, read_response

__all__ = ["ResponseSerde", "carry", "rebuild"]

_OK: Final = 200
_JSON: Final = "application/json"
_COMPUTED: Final = frozenset({"content-length", "transfer-encoding"})


def carry(response: Response, where: str) -> CarriedResponse:
    """Take what can be recorded of a response.

    Raises:
        TerminalError: It is made while it is sent; a retry would give the same.
    """
    if response.direct_passthrough or response.is_streamed:
        response.close()  # the file, or the generator
        raise TerminalError(
            f"{where} returned a {'file' if response.direct_passthrough else 'stream'}, which cannot be recorded. "
            "Return data, or serve it from a view that is not durable."
        )
    headers = tuple((name, value) for name, value in response.headers.items() if name.lower() not in _COMPUTED)
    return CarriedResponse(response.status_code, headers, response.get_data())


def rebuild(app: Flask, data: bytes) -> Response:
    """Make the response that a result stands for."""
    carried = read_response(data)
    if carried is None:
        return app.response_class(plain_json(data) or b"null\n", _OK, mimetype=_JSON)
    response: Response = app.response_class(carried.body, carried.status)
    response.headers.clear()
    response.headers.extend(list(carried.headers))
    response.headers["Content-Length"] = str(len(carried.body))
    return response


class ResponseSerde(Serde[Any]):
    """Writes the responses of durable views, and reads them for handlers that call them."""

    def serialize(self, obj: Any) -> bytes:
        """Write a `CarriedResponse`.

        Raises:
            SerdeError: It is something else.
        """
        if not isinstance(obj, CarriedResponse):
            raise SerdeError(f"A durable view gives a response, not a {type(obj).__name__}.")
        if obj.status == _OK and [(name.lower(), value) for name, value in obj.headers] == [("content-type", _JSON)]:
            return as_data(obj.body)
        return obj.to_json()

    def deserialize(self, buf: bytes) -> Any:
        """Read the JSON of a plain result, or of a response its body: parsed if it is JSON, else as text."""
        response = read_response(buf)
        if response is None:
            return json.loads(plain_json(buf) or b"null")
        kind = next((value for name, value in response.headers if name.lower() == "content-type"), "")
        text = response.body.decode("utf-8", "replace")
        return json.loads(text) if kind.partition(";")[0].strip() == _JSON and text else text
