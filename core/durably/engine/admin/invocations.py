"""Invocations: what operators do to them, one by one and in batches.

| operation | 200 | 202 | refused |
|---|---|---|---|
| cancel | ended | the handler decides | 409 completed |
| kill | ended | | 409 completed |
| pause | is paused, or suspended | will be at the next stop | 409 completed, 425 not started |
| resume `?deployment=keep, latest or {id}` | goes on | | 409 completed, 425 not started, 400 deployment |
| restart-as-new `?from=&deployment=` | `{"new_invocation_id"}` | | 409, 410, 422, 425, 400 |
| purge, purge-journal | deleted | | 409 not completed |

All: 400 for what is no id, 404 for what does not exist. `DELETE /invocations/{id}?mode=` is the old form of cancel,
kill and purge: it answers 202 whatever comes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from durably.engine.actions import Done, Failed, Outcome, Restarted
from durably.engine.admin.bodies import BatchRequest
from durably.engine.admin.requests import AdminError, Endpoints, Json, json_response
from durably.engine.events import Cancel, Event, Kill, Pause, Purge, Restart, Resume
from durably.engine.ingress.refusals import RefusedError
from durably.protocol.ids import InvocationId, parse_deployment_id

__all__ = ["InvocationEndpoints"]

_MAX_BATCH: Final = 1000
_OPERATIONS: Final = ("cancel", "kill", "purge", "purge-journal", "pause", "resume", "restart-as-new")
_BY_MODE: Final[Mapping[str, str]] = MappingProxyType({"cancel": "cancel", "kill": "kill", "purge": "purge"})


class InvocationEndpoints(Endpoints):
    """Endpoints about invocations."""

    def routes(self) -> list[Route]:
        """Give the routes."""
        single = [
            Route(f"/invocations/{{invocation}}/{name}", self._one(name), methods=["PATCH"]) for name in _OPERATIONS
        ]
        batches = [
            Route(f"/internal/invocations_batch_operations/{name}", self._batch(name), methods=["POST"])
            for name in _OPERATIONS
        ]
        return [*single, *batches, Route("/invocations/{invocation}", self._delete, methods=["DELETE"])]

    def _one(self, operation: str) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            invocation_id = _invocation_id(request)
            query = request.query_params
            deployment = query.get("deployment")
            outcome = await self.submit(_event(operation, invocation_id, deployment, _index(query.get("from"))))
            if isinstance(outcome, Restarted):
                return json_response({"new_invocation_id": outcome.new_invocation_id})
            return Response(status_code=202 if isinstance(outcome, Done) and outcome.appended else 200)

        return endpoint

    def _batch(self, operation: str) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            asked = await self.body(request, BatchRequest)
            ids = asked.invocation_ids
            if len(ids) > _MAX_BATCH:
                raise AdminError(400, f"A batch of {len(ids)} invocations is larger than {_MAX_BATCH}.")
            events = [_event(operation, invocation_id, asked.deployment, 0) for invocation_id in ids]
            outcomes = await asyncio.gather(*(self.api.submit(event) for event in events))
            succeeded = [
                _succeeded(invocation_id, outcome)
                for invocation_id, outcome in zip(ids, outcomes, strict=True)
                if not isinstance(outcome, Failed)
            ]
            failed: list[Json] = [
                {"invocation_id": invocation_id, "error": outcome.message}
                for invocation_id, outcome in zip(ids, outcomes, strict=True)
                if isinstance(outcome, Failed)
            ]
            return json_response({"succeeded": succeeded, "failed": failed})

        return endpoint

    async def _delete(self, request: Request) -> Response:
        invocation_id = _invocation_id(request)
        operation = _BY_MODE.get(request.query_params.get("mode", "cancel").lower())
        if operation is None:
            raise RefusedError(400, "The query parameter 'mode' must be cancel, kill or purge")
        await self.api.submit(_event(operation, invocation_id, None, 0))
        return Response(status_code=202)


def _event(operation: str, invocation_id: str, deployment: str | None, from_index: int) -> Event:
    match operation:
        case "cancel":
            return Cancel(invocation_id, reply=0)
        case "kill":
            return Kill(invocation_id, reply=0)
        case "pause":
            return Pause(invocation_id, reply=0)
        case "purge" | "purge-journal":
            return Purge(invocation_id, journal_only=operation == "purge-journal", reply=0)
        case "resume":
            return Resume(invocation_id, _deployment(deployment, "keep"), reply=0)
        case _:
            return Restart(invocation_id, from_index, _deployment(deployment, "latest"), reply=0)


def _succeeded(invocation_id: str, outcome: Outcome) -> str | Json:
    if isinstance(outcome, Restarted):
        return {"old_invocation_id": invocation_id, "new_invocation_id": outcome.new_invocation_id}
    return invocation_id


def _invocation_id(request: Request) -> str:
    text: str = request.path_params["invocation"]
    try:
        InvocationId.decode(text)
    except ValueError as error:
        raise AdminError(400, f"The request field 'invocation_id' is invalid: {error}") from error
    return text


def _deployment(text: str | None, default: str) -> str:
    if text is None:
        return default
    if text.lower() in ("keep", "latest"):
        return text.lower()
    try:
        parse_deployment_id(text)
    except ValueError as error:
        raise AdminError(400, f"The query parameter 'deployment' is invalid: {error}") from error
    return text


def _index(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise RefusedError(400, "The query parameter 'from' must be the index of a journal entry")
    return int(text)
