"""The operations of the ingress: from a route to an event, and from its outcome to an answer.

Owns what each operation checks before it submits: that the target exists and is public, that key, delay, scope and
idempotency key fit, and that the body is what the handler takes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from durably.engine.actions import Accepted, Failed, Outcome, Success
from durably.engine.api import EngineApi
from durably.engine.core.identifiers import resolve
from durably.engine.events import (
    Attach,
    CompleteAwakeable,
    Event,
    GetOutput,
    IdempotentSelector,
    InvocationSelector,
    Invoke,
    Selector,
)
from durably.engine.ingress.answers import answer_of, refusal
from durably.engine.ingress.bodies import Answer, Disconnected, Receive, TooLargeError, json_bytes, read_body
from durably.engine.ingress.descriptors import check_input
from durably.engine.ingress.durations import MAX_TIME_MS, parse_duration
from durably.engine.ingress.headers import RequestHeaders
from durably.engine.ingress.paths import InvokeRoute, ResultRoute, TargetAction
from durably.engine.ingress.refusals import RefusedError
from durably.engine.ingress.targets import read_target
from durably.engine.records import Failure, HandlerRecord, ServiceRecord, ServiceType, Target, TargetKind
from durably.protocol.ids import InvocationId, parse_awakeable_id

__all__ = ["Operations", "Request"]

_SCOPE: Final = re.compile(r"[a-zA-Z0-9_.-]{1,36}", re.ASCII)
_HEADER_OVERHEAD: Final = 16
"""Most bytes that the encoding adds to a header, and to the whole message."""

_WATCH_AFTER_S: Final = 0.2
"""How long a call may take before its client is watched; most have ended by then, and are spared the cost."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an operation needs of a request.

    Attributes:
        headers: Checked and sorted.
        parameters: Of the query; names in lower case, of doubled ones the first.
        receive: For the body, and for the client's going.
    """

    headers: RequestHeaders
    parameters: Mapping[str, str]
    receive: Receive


class Operations:
    """What can be asked of the ingress."""

    def __init__(self, api: EngineApi, *, accept_forms: bool) -> None:
        """Ask `api`; see `IngressOptions.accept_forms`."""
        self._api = api
        self._accept_forms = accept_forms

    async def invoke(self, route: InvokeRoute, request: Request) -> Answer:
        """Call or send to a handler."""
        service = self._service(route.service)
        keyed = service.type is not ServiceType.SERVICE
        key, handler_name, is_send = route.of_service(keyed=keyed)
        handler = self._handler(service, handler_name)
        self._check_key(key)
        headers = request.headers
        if headers.idempotency_key is not None and handler.kind is TargetKind.WORKFLOW_RUN:
            raise RefusedError(
                400, "a workflow's run takes no idempotency key: the key of the workflow makes it idempotent already"
            )
        limit_key = headers.limit_key or request.parameters.get("limit-key")
        _check_scope(route.scope, limit_key)
        delay_until_ms = self._delay_until(request.parameters, is_send=is_send)
        body = await read_body(request.receive, self._api.options.limits.body_bytes, headers.content_length)
        self._check_size(headers, body)
        check_input(handler.input, headers.content_type, is_empty=not body, forms=self._accept_forms)
        event = Invoke(
            target=Target(service.name, key, handler.name),
            body=body,
            headers=headers.forwarded,
            reply=0,
            is_send=is_send,
            idempotency_key=headers.idempotency_key,
            delay_until_ms=delay_until_ms,
            scope=route.scope,
            limit_key=limit_key,
        )
        outcome = await self._submit(event, request.receive)
        if isinstance(outcome, Accepted) and outcome.is_new and outcome.execution_time_ms is None:
            outcome = replace(outcome, execution_time_ms=delay_until_ms)  # a delay of 0: it starts at once
        return answer_of(outcome, handler)

    async def result(self, route: ResultRoute, request: Request) -> Answer:
        """Wait for, or look at, the result of an invocation that the path names."""
        selector = route.selector
        if selector is None:
            service = self._service(route.service)
            selector = route.of_service(keyed=service.type is not ServiceType.SERVICE)
        return await self._result(selector, request.receive, waits=route.waits)

    async def target(self, action: TargetAction, request: Request) -> Answer:
        """Wait for, look at, or identify the invocation that the body names."""
        limit = self._api.options.limits.body_bytes
        selector = read_target(await read_body(request.receive, limit, request.headers.content_length))
        if action is TargetAction.LOOKUP:
            _check_id(selector)
            body = json_bytes({"invocationId": resolve(selector, keyed=self._is_keyed(selector))})
            return Answer(200, (("content-type", "application/json"),), body)
        return await self._result(selector, request.receive, waits=action is TargetAction.ATTACH)

    async def awakeable(self, awakeable_id: str, request: Request, *, resolves: bool) -> Answer:
        """Resolve or reject an awakeable."""
        try:
            parse_awakeable_id(awakeable_id)
        except ValueError as error:
            raise RefusedError(400, f"bad awakeable id: {error}") from error
        limit = self._api.options.limits.body_bytes
        body = await read_body(request.receive, limit, request.headers.content_length)
        result = body if resolves else Failure(500, body.decode(errors="replace"))
        return answer_of(await self._api.submit(CompleteAwakeable(awakeable_id, result, reply=0)))

    def health(self) -> Answer:
        """Name the services that can be called."""
        body = json_bytes({"services": list(self._api.services)})
        return Answer(200, (("content-type", "application/json"),), body)

    async def _result(self, selector: Selector, receive: Receive, *, waits: bool) -> Answer:
        _check_id(selector)
        event = Attach(selector, reply=0) if waits else GetOutput(selector, reply=0)
        outcome = await self._submit(event, receive)
        if not waits and isinstance(outcome, Failed) and outcome.code == 404 and outcome.expires_at is None:
            return refusal(404, "invocation not found")  # a stored failure has a time at which it expires
        return answer_of(outcome, await self._handler_of(outcome))

    async def _handler_of(self, outcome: Outcome) -> HandlerRecord | None:
        if not isinstance(outcome, Success):
            return None
        invocation = await self._api.read(lambda reader: reader.invocation(outcome.invocation_id))
        if invocation is None:  # its retention ended just now
            return None
        service = self._api.services.get(invocation.service)
        return None if service is None else service.handlers.get(invocation.handler)

    async def _submit(self, event: Event, receive: Receive) -> Outcome:
        """Submit an event whose outcome may take long, and stop waiting when the client goes."""
        submitted = asyncio.ensure_future(self._api.submit(event))
        try:
            done, _ = await asyncio.wait((submitted,), timeout=_WATCH_AFTER_S)
            if not done:
                gone = asyncio.ensure_future(_gone(receive))
                try:
                    await asyncio.wait((submitted, gone), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    gone.cancel()
            if not submitted.done():
                raise Disconnected
            return submitted.result()
        finally:
            submitted.cancel()  # without effect once it is done

    def _service(self, name: str) -> ServiceRecord:
        service = self._api.services.get(name)
        if service is None:
            raise RefusedError(404, f"service '{name[:200]}' not found; is the deployment that brings it registered?")
        return service

    def _handler(self, service: ServiceRecord, name: str) -> HandlerRecord:
        handler = service.handlers.get(name)
        if handler is None:
            raise RefusedError(404, f"service '{service.name}' has no handler '{name[:200]}' in its latest revision")
        if service.options.public is False or handler.options.public is False:
            raise RefusedError(400, "the invoked service is not public")
        return handler

    def _check_size(self, headers: RequestHeaders, body: bytes) -> None:
        """Refuse what would not fit in the one message in which a service gets it: no attempt could succeed."""
        size = len(body) + sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers.forwarded)
        if size + _HEADER_OVERHEAD > self._api.options.limits.message_bytes:
            raise TooLargeError

    def _check_key(self, key: str) -> None:
        limit = self._api.options.limits.key_bytes
        if len(key) > limit or len(key.encode()) > limit:
            raise RefusedError(400, f"the key is longer than {limit} bytes")

    def _delay_until(self, parameters: Mapping[str, str], *, is_send: bool) -> int | None:
        text = parameters.get("delay")
        if text is None:
            return None
        if not is_send:
            raise RefusedError(400, "a call takes no delay; send instead")
        try:
            until = self._api.now_ms() + parse_duration(text)
        except ValueError as error:
            raise RefusedError(400, f"bad delay query parameter: {error}") from error
        if until > MAX_TIME_MS:
            raise RefusedError(400, "bad delay query parameter: it ends after the year 9999")
        return until

    def _is_keyed(self, selector: Selector) -> bool:
        if not isinstance(selector, IdempotentSelector):
            return True
        service = self._api.services.get(selector.service)
        return selector.key != "" if service is None else service.type is not ServiceType.SERVICE


def _check_id(selector: Selector) -> None:
    if isinstance(selector, InvocationSelector):
        try:
            InvocationId.decode(selector.invocation_id)
        except ValueError as error:
            raise RefusedError(400, f"bad invocation id: {error}") from error


def _check_scope(scope: str | None, limit_key: str | None) -> None:
    if limit_key is not None and scope is None:
        raise RefusedError(400, "limit-key requires a scope to be set")
    if scope is not None and _SCOPE.fullmatch(scope) is None:
        raise RefusedError(400, "bad scope: it must have 1 to 36 characters of a-z, A-Z, 0-9, '_', '.' and '-'")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
