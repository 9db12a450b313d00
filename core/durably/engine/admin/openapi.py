"""OpenAPI documents: of one service, and of the admin API.

Paths of a service at the ingress

| path | for |
|---|---|
| `/restate/call/…`, `/restate/send/…` | every handler |
| `/restate/invocation/…/{idempotencyKey}/attach`, `/output` | handlers of plain services and objects |
| `/restate/workflow/…/attach`, `/output` | the run of a workflow |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.routing import Route

from durably.engine.ingress.descriptors import output_content_type
from durably.engine.records import HandlerRecord, ServiceRecord, ServiceType, TargetKind

__all__ = ["openapi_of", "openapi_of_routes"]

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}


def openapi_of(service: ServiceRecord, ingress_url: str) -> Json:
    """Describe the ingress paths of a service in OpenAPI 3.1."""
    schemas: Json = {"RestateError": _ERROR}
    paths: Json = {}
    for handler in service.handlers.values():
        if handler.input is not None and handler.input.json_schema is not None:
            schemas[f"{handler.name}Request"] = handler.input.json_schema
        if handler.output is not None and handler.output.json_schema is not None:
            schemas[f"{handler.name}Response"] = handler.output.json_schema
        paths |= _paths(service, handler)
    return {
        "openapi": "3.1.0",
        "info": _info(service),
        "servers": [{"url": ingress_url, "description": "Ingress"}],
        "paths": paths,
        "components": {"schemas": schemas, "parameters": _PARAMETERS, "responses": _RESPONSES},
        "tags": [{"name": name} for name in ("Request Response", "Send", "Attach", "Get Output")],
    }


def openapi_of_routes(routes: Iterable[Route], version: str) -> Json:
    """List the paths of the admin API in OpenAPI 3.1, without the shapes of bodies."""
    paths: Json = {}
    for route in routes:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in sorted(route.param_convertors)
        ]
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation: Json = {"parameters": parameters, "responses": {"default": {"description": "See the manual"}}}
            paths.setdefault(route.path, {})[method.lower()] = operation
    return {"openapi": "3.1.0", "info": {"title": "Admin API", "version": version}, "paths": paths}


def _info(service: ServiceRecord) -> Json:
    info: Json = {"title": service.name, "version": str(service.revision)}
    if service.options.documentation:
        info["description"] = service.options.documentation
    if service.options.metadata:
        info["x-restate-extensions"] = dict(service.options.metadata)
    return info


def _paths(service: ServiceRecord, handler: HandlerRecord) -> Json:
    keyed = service.type is not ServiceType.SERVICE
    workflow = service.type is ServiceType.WORKFLOW
    name = f"{service.name}/{handler.name}"
    target = f"{service.name}/{{key}}/{handler.name}" if keyed else name
    key = [_parameter("key")] if keyed else []
    of_call = key if workflow else [*key, _parameter("idempotencyKeyHeader")]
    call = _operation(handler, "", "Request Response", of_call, f"Call {name}")
    send = _operation(handler, "Send", "Send", [*of_call, _parameter("delay")], f"Send to {name}")
    paths: Json = {f"/restate/call/{target}": {"post": call}, f"/restate/send/{target}": {"post": send}}
    if handler.kind is TargetKind.WORKFLOW_RUN:
        of_result, parameters = f"/restate/workflow/{service.name}/{{key}}", key
    elif workflow:
        return paths
    else:
        of_result = f"/restate/invocation/{target}/{{idempotencyKey}}"
        parameters = [*key, _parameter("idempotencyKeyPath")]
    for suffix, tag, text in (("Attach", "Attach", "Wait for"), ("Output", "Get Output", "Look at")):
        operation = _operation(handler, suffix, tag, parameters, f"{text} the result of {name}")
        paths[f"{of_result}/{suffix.lower()}"] = {"get": operation}
    return paths


def _operation(handler: HandlerRecord, suffix: str, tag: str, parameters: list[Json], text: str) -> Json:
    operation: Json = {
        "operationId": f"{handler.name}{suffix}",
        "summary": handler.name,
        "description": handler.options.documentation or text,
        "tags": [tag],
        "parameters": parameters,
    }
    if suffix in ("", "Send"):
        body = _request_body(handler)
        if body is not None:
            operation["requestBody"] = body
    if suffix == "Send":
        operation["responses"] = {"200": _response("Send"), "202": _response("Send")}
    else:
        operation["responses"] = {"200": _result(handler)}
    if suffix in ("Attach", "Output"):
        operation["responses"]["404"] = _response("InvocationNotFoundError")
    if suffix == "Output":
        operation["responses"]["470"] = _response("InvocationNotReadyError")
    operation["responses"]["default"] = _response("GenericError")
    return operation


def _request_body(handler: HandlerRecord) -> Json | None:
    given = handler.input
    if given is None:
        return {"content": {"*/*": {}}, "required": False}
    if given.content_type is None:
        return None
    content = {} if given.json_schema is None else {"schema": _schema(f"{handler.name}Request")}
    return {"content": {given.content_type: content}, "required": bool(given.required)}


def _result(handler: HandlerRecord) -> Json:
    content_type = output_content_type(handler.output, is_empty=False)
    if content_type is None:
        return {"description": "Empty"}
    described = handler.output is not None and handler.output.json_schema is not None
    content = {"schema": _schema(f"{handler.name}Response")} if described else {}
    return {"description": "The handler's value", "content": {content_type: content}}


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _response(name: str) -> Json:
    return {"$ref": f"#/components/responses/{name}"}


def _parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def _refused(description: str, example: Json) -> Json:
    return {
        "description": description,
        "content": {"application/json": {"schema": _schema("RestateError"), "example": example}},
    }


_ERROR: Final[Json] = {
    "title": "RestateError",
    "type": "object",
    "properties": {
        "code": {"type": "number"},
        "message": _TEXT,
        "metadata": {"type": "object", "additionalProperties": _TEXT},
        "stacktrace": _TEXT,
        "source": {"type": "string", "enum": ["ingress", "invocation"]},
    },
    "required": ["message", "source"],
    "additionalProperties": False,
}
_SENT: Final[Json] = {
    "title": "RestateSendResponse",
    "type": "object",
    "properties": {
        "invocationId": _TEXT,
        "status": {"type": "string", "enum": ["Accepted", "PreviouslyAccepted"]},
        "executionTime": {"type": "string", "format": "date-time"},
    },
    "required": ["invocationId", "status"],
    "additionalProperties": False,
}
_PARAMETERS: Final[Json] = {
    "key": {"name": "key", "in": "path", "required": True, "schema": _TEXT},
    "delay": {
        "name": "delay",
        "in": "query",
        "required": False,
        "description": "When to start: a friendly (`10s`) or ISO 8601 (`PT10S`) duration from now.",
        "example": "10s",
        "schema": _TEXT,
    },
    "idempotencyKeyHeader": {
        "name": "idempotency-key",
        "in": "header",
        "required": False,
        "description": "Requests with the same key are one invocation.",
        "schema": _TEXT,
    },
    "idempotencyKeyPath": {
        "name": "idempotencyKey",
        "in": "path",
        "required": True,
        "description": "The idempotency key that the request was made with.",
        "schema": _TEXT,
    },
}
_RESPONSES: Final[Json] = {
    "GenericError": _refused("A failure", {"code": 500, "message": "Internal server error", "source": "invocation"}),
    "InvocationNotFoundError": _refused("Unknown invocation", {"message": "invocation not found", "source": "ingress"}),
    "InvocationNotReadyError": _refused(
        "The invocation has not completed", {"message": "the invocation has not completed yet", "source": "ingress"}
    ),
    "Send": {"description": "Stored", "content": {"application/json": {"schema": _SENT}}},
}
