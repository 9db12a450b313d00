"""Responses on their way through the journal.

Owns the form in which a response travels that a handler gave: its status, its headers and its body, told apart from
plain JSON. What looks like a response but was returned as data stays data.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CarriedResponse", "as_data", "plain_json", "read_response"]

_MARK: Final = b'{"durably:response":'


@dataclass(frozen=True, slots=True)
class CarriedResponse:
    """A response that an attempt gave.

    Attributes:
        status: Its status.
        headers: All but the length, in order; names in lower case.
        body: Its bytes.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def to_json(self) -> bytes:
        """Write it; `read_response` is the way back."""
        content: dict[str, Any] = {"status": self.status, "headers": [list(entry) for entry in self.headers]}
        try:
            content["body"] = self.body.decode("utf-8")
        except UnicodeDecodeError:
            content["base64"] = base64.b64encode(self.body).decode("ascii")
        return _MARK + _to_json(content) + b"}"


def _to_json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def as_data(data: bytes) -> bytes:
    """Give the form of a result that is plain JSON; `plain_json` is the way back."""
    return _MARK + b'{"value":' + data + b"}}" if data.startswith(_MARK) else data


def read_response(data: bytes) -> CarriedResponse | None:
    """Give the response that `data` stands for; None if it is plain JSON."""
    if not data.startswith(_MARK):
        return None
    content = json.loads(data)["durably:response"]
    if "value" in content:
        return None
    body = base64.b64decode(content["base64"]) if "base64" in content else content["body"].encode("utf-8")
    return CarriedResponse(content["status"], tuple((name, value) for name, value in content["headers"]), body)


def plain_json(data: bytes) -> bytes:
    """Give the JSON of a plain result."""
    if data.startswith(_MARK):
        return _to_json(json.loads(data)["durably:response"]["value"])
    return data
