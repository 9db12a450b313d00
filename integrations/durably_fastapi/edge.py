"""What an HTTP call of a durable endpoint does before and after the invocation.

Owns the edge function that stands under the route decorator. FastAPI sees its signature: the values that are carried,
the dependencies that run at the edge, and the headers of a durable call. It writes the payload, closes what the
dependencies of the edge have opened, calls the handler, and answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import Header, HTTPException
from fastapi.encoders import jsonable_encoder
from starlette.requests import Request
from starlette.responses import Response

from durably.annotations import plain_function
from durably.errors import SerdeError
from durably.web.calls import EndpointCall, perform
from durably_fastapi.answers import answer
from durably_fastapi.carriable import upload_bytes
from durably_fastapi.dependencies import Named
from durably_fastapi.dispatch import outgoing_of
from durably_fastapi.payloads import PayloadSerde
from durably_fastapi.shim import close_dependencies, to_json

if TYPE_CHECKING:
    from durably_fastapi.endpoint import DurableEndpoint

__all__ = ["RESERVED", "EdgeCall", "edge_signature", "make_edge"]

RESERVED: Final = "durably__"
"""No parameter of an endpoint may begin with this."""

_REQUEST, _RESPONSE = f"{RESERVED}request", f"{RESERVED}response"
_KEY, _PREFER = f"{RESERVED}idempotency_key", f"{RESERVED}prefer"

_KEY_HEADER: Final = Header(
    alias="Idempotency-Key",
    description="Calls with the same key are one piece of work and get the same answer.",
)
_PREFER_HEADER: Final = Header(
    alias="Prefer",
    description="`respond-async` answers 202 at once, `wait=N` after N seconds; the result is then at `Location`.",
)

_ROUNDS: Final = 2000

_HANDED_ON: Final = ("traceparent", "tracestate", "baggage")


@dataclass(frozen=True, slots=True)
class EdgeCall:
    """How the endpoint's values become an invocation.

    Attributes:
        carried: The values, by name.
        payload: How they are written.
        key: The name of the one that is the key, or None.
    """

    carried: Mapping[str, Named]
    payload: PayloadSerde
    key: str | None

    def identity(self, values: Mapping[str, Any], request: Request) -> bytes | None:
        """Give what is the caller's own: a digest of what the dependencies at the edge gave.

        Where they gave nothing, because a router or middleware authenticates, of the `Authorization` header.
        """
        found = {
            name: jsonable_encoder(values[name] if named.identity is None else named.identity(values[name]))
            for name, named in sorted(self.carried.items())
            if named.is_edge
        }
        if found:
            return hashlib.sha256(to_json(found)).digest()
        credentials = request.headers.get("authorization")
        if credentials is None:
            return None
        # Slower than a plain digest: what is stored must not help to guess a password.
        return hashlib.pbkdf2_hmac("sha256", credentials.encode(), b"durably identity", _ROUNDS)


def edge_signature(carried: Mapping[str, Named], result: Any) -> Signature:
    """Give the signature that FastAPI sees."""
    parameters = [named.declared.parameter.replace(kind=Parameter.KEYWORD_ONLY) for named in carried.values()]
    ours: dict[str, tuple[Any, Any]] = {
        _REQUEST: (Request, Parameter.empty),
        _RESPONSE: (Response, Parameter.empty),
        _KEY: (Annotated[str | None, _KEY_HEADER], None),
        _PREFER: (Annotated[str | None, _PREFER_HEADER], None),
    }
    parameters.extend(
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in ours.items()
    )
    # FastAPI takes the class of None for a model, and None for no result.
    return Signature(parameters, return_annotation=None if result is type(None) else result)


def make_edge(
    function: Callable[..., Any], call: EdgeCall, result: Any, find: Callable[[], DurableEndpoint]
) -> Callable[..., Any]:
    """Make the function for the route.

    Args:
        function: The endpoint, whose name and documentation it takes over.
        call: How values become an invocation.
        result: The evaluated return annotation.
        find: Gives the endpoint once it is complete.
    """

    async def edge(**values: Any) -> Response:
        request: Request = values.pop(_REQUEST)
        given: Response = values.pop(_RESPONSE)
        idempotency_key: str | None = values.pop(_KEY)
        prefer: str | None = values.pop(_PREFER)
        endpoint = find()
        _refuse_large(values, endpoint.host.settings.max_upload_bytes)
        try:
            payload = call.payload.serialize(values)
        except SerdeError as error:
            raise HTTPException(422, f"The values cannot be carried as JSON: {error.message}") from error
        made = EndpointCall(
            handler=endpoint.handler,
            payload=payload,
            key=None if call.key is None else str(values[call.key]),
            idempotency_key=idempotency_key,
            identity=None if idempotency_key is None else call.identity(values, request),
            prefer=prefer,
            root_path=request.scope.get("root_path", ""),
            headers={name: request.headers[name] for name in _HANDED_ON if name in request.headers},
        )
        await close_dependencies(request)
        outgoing = outgoing_of(request.scope)
        if outgoing is None:  # the application was not taken over
            return await answer(endpoint, await perform(endpoint.host.link, made), request, given)
        outgoing.is_waiting = True
        outcome = await perform(endpoint.host.link, made)
        outgoing.is_waiting = False
        return await answer(endpoint, outcome, request, given)

    target = plain_function(function)
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(edge, name, getattr(target, name, None))
    edge.__annotations__ = {}
    edge.__signature__ = edge_signature(call.carried, result)  # type: ignore[attr-defined]
    return edge


def _refuse_large(values: Mapping[str, Any], limit: int) -> None:
    size = sum(upload_bytes(value) for value in values.values())
    if size > limit:
        raise HTTPException(
            413,
            f"The files of this call have {size} bytes; a durable endpoint takes {limit}. Upload large files to a route"
            " that is not durable, and pass on where they are.",
        )
