"""What every endpoint of the admin API shares: bodies in, JSON out, refusals.

| refusal | answer |
|---|---|
| of the request's form | its status, plain text |
| of what was asked for | its status, `{"message", "restate_code"}` |
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from durably.engine.actions import Failed, Outcome
from durably.engine.admin.bodies import parse
from durably.engine.api import EngineApi
from durably.engine.events import Event
from durably.engine.ingress.bodies import json_bytes, read_body
from durably.engine.ingress.refusals import RefusedError

__all__ = ["AdminError", "Endpoints", "Json", "json_response", "not_found", "refusal_response", "refuse"]

M = TypeVar("M", bound=BaseModel)


class AdminError(RefusedError):
    """Something that cannot be done.

    Attributes:
        doc_code: `META0006` and the like, or None.
    """

    def __init__(self, status: int, message: str, doc_code: str | None = None) -> None:
        """Keep all three."""
        super().__init__(status, message)
        self.doc_code = doc_code


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(json_bytes(value), status, headers, media_type="application/json")


def refusal_response(error: RefusedError) -> Response:
    """Answer a refused request."""
    if isinstance(error, AdminError):
        return json_response({"message": error.message, "restate_code": error.doc_code}, error.status)
    return Response(error.message, error.status, media_type="text/plain")


class Endpoints:
    """Base of the endpoints: they keep nothing but the engine."""

    def __init__(self, api: EngineApi) -> None:
        """Ask `api`."""
        self.api = api

    async def body(self, request: Request, model: type[M]) -> M:
        """Read the body of a request.

        Raises:
            RefusedError: It does not fit.
            TooLargeError: It is too large.
            Disconnected: The client went.
        """
        length = request.headers.get("content-length", "")
        declared = int(length) if length.isascii() and length.isdecimal() else None
        raw = await read_body(request.receive, self.api.options.limits.body_bytes, declared)
        return parse(model, raw, request.headers.get("content-type"))

    async def submit(self, event: Event) -> Outcome:
        """Do what is asked.

        Raises:
            AdminError: It was refused.
        """
        outcome = await self.api.submit(event)
        if isinstance(outcome, Failed):
            refuse(outcome)
        return outcome


def refuse(failed: Failed) -> NoReturn:
    """Turn a failure into a refusal."""
    raise AdminError(failed.code, failed.message, failed.doc_code or None)


def not_found(kind: str, name: str) -> AdminError:
    """Say that something does not exist."""
    return AdminError(404, f"The requested {kind} '{name[:200]}' does not exist")


Json = dict[str, Any]
