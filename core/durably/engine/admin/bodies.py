"""JSON bodies of the admin API: what they look like, and how they are refused.

| body | status |
|---|---|
| no `application/json` | 415 |
| no JSON | 400 |
| a field is missing or has another type | 422; the text names the field, never its value |
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError
from pydantic_core import PydanticCustomError

from durably.engine.ingress.durations import parse_duration
from durably.engine.ingress.refusals import RefusedError
from durably.protocol.ids import InvocationId

__all__ = [
    "BatchRequest",
    "DeploymentPatch",
    "QueryRequest",
    "RegisterRequest",
    "ServicePatch",
    "StateRequest",
    "parse",
]

M = TypeVar("M", bound=BaseModel)

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*", re.ASCII)


def _duration_ms(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise PydanticCustomError("duration", "bad duration: {why}", {"why": str(error)}) from error
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(value) is None:
            raise PydanticCustomError("header", "names must be tokens, values printable ASCII")
    return headers


def _invocation_id(text: str) -> str:
    try:
        InvocationId.decode(text)
    except ValueError as error:
        raise PydanticCustomError("invocation_id", "{why}", {"why": str(error)}) from error
    return text


Duration = Annotated[StrictStr, AfterValidator(_duration_ms)]
HeaderMap = Annotated[dict[StrictStr, StrictStr], AfterValidator(_headers)]
InvocationIdText = Annotated[StrictStr, AfterValidator(_invocation_id)]
Byte = Annotated[StrictInt, Field(ge=0, le=255)]


class _Request(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", hide_input_in_errors=True)


class RegisterRequest(_Request):
    """`POST /deployments`."""

    uri: StrictStr
    use_http_11: StrictBool = False
    force: StrictBool | None = None
    breaking: StrictBool = False
    dry_run: StrictBool = False
    additional_headers: HeaderMap | None = None
    metadata: dict[StrictStr, StrictStr] | None = None


class DeploymentPatch(_Request):
    """`PATCH /deployments/{id}`."""

    uri: StrictStr | None = None
    use_http_11: StrictBool | None = None
    dry_run: StrictBool = False
    breaking: StrictBool = False
    additional_headers: HeaderMap | None = None


class ServicePatch(_Request):
    """`PATCH /services/{name}`."""

    public: StrictBool | None = None
    idempotency_retention: Duration | None = None
    workflow_completion_retention: Duration | None = None
    journal_retention: Duration | None = None
    inactivity_timeout: Duration | None = None
    abort_timeout: Duration | None = None


class StateRequest(_Request):
    """`POST /services/{name}/state`."""

    object_key: StrictStr
    new_state: dict[StrictStr, list[Byte]]
    version: StrictStr | None = None
    scope: StrictStr | None = None


class BatchRequest(_Request):
    """`POST /internal/invocations_batch_operations/{operation}`."""

    invocation_ids: list[InvocationIdText]
    deployment: StrictStr | None = None


class QueryRequest(_Request):
    """`POST /query`."""

    query: StrictStr


def parse(model: type[M], body: bytes, content_type: str | None) -> M:
    """Read a body.

    Raises:
        RefusedError: It is not what `model` says.
    """
    media_type = "" if content_type is None else content_type.partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RefusedError(415, "Expected a request with `Content-Type: application/json`")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if problem["type"] == "json_invalid":
            raise RefusedError(400, f"The request body is no JSON: {problem['msg']}") from error
        where = ".".join(str(part) for part in problem["loc"])
        text = f"{where}: {problem['msg']}" if where else problem["msg"]
        raise RefusedError(422, f"The request body does not fit: {text[:500]}") from error
