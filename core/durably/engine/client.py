"""The client of an engine in the same process: what `durably.client` does over HTTP, done without it.

Owns turning what a client asks into events, and outcomes into answers or `HttpError`, so that code is the same whether
the runtime is embedded or a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from durably.authoring.codec import CodecSource
from durably.client.channels import Ending, Rejection, Resolution
from durably.client.durable import DurablyClient
from durably.client.interfaces import (
    ClientTimeoutError,
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationRef,
    RestateClientSendHandle,
    WorkflowRun,
)
from durably.client.targets import Call, CallTarget, check_headers, check_target, check_text
from durably.engine.actions import Accepted, Failed, FailureSource, NotReady, Outcome, Success
from durably.engine.events import (
    Attach,
    Cancel,
    CompleteAwakeable,
    Event,
    GetOutput,
    IdempotentSelector,
    InvocationSelector,
    Invoke,
    Kill,
    Selector,
    SendSignal,
    WorkflowSelector,
)
from durably.engine.records import EngineOptions, Failure, Headers, ServiceRecord, ServiceType, Target, TargetKind
from durably.errors import ClientError, UsageError
from durably.protocol.ids import InvocationId

__all__ = ["EngineChannel", "EngineClient", "Submitter"]

_ACCEPTED = 202
_NOT_FOUND = 404
_LOWEST_STATUS = 100
_HIGHEST_STATUS = 999


class Submitter(Protocol):
    """What the client needs of the engine; callable on any event loop."""

    @property
    def options(self) -> EngineOptions:
        """Its limits."""
        ...

    @property
    def services(self) -> Mapping[str, ServiceRecord]:
        """The latest revision of every service by name."""
        ...

    def now_ms(self) -> int:
        """Tell the time."""
        ...

    async def submit(self, event: Event) -> Outcome:
        """Do what is asked; see `EngineApi.submit`."""
        ...


class EngineClient(DurablyClient):
    """Reaches the handlers of an engine in this process. `Engine.client` makes one; there is nothing to close.

    Besides what every client raises: `EngineStoppedError` when the engine has stopped, and `StoreError` when it cannot
    store.
    """

    def __init__(self, engine: Submitter, codec: CodecSource, headers: Mapping[str, str] | None = None) -> None:
        """Ask `engine`.

        Args:
            engine: Which.
            codec: The codec of its services.
            headers: Handed to every handler.
        """
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__(EngineChannel(engine, codec, self.headers))


class EngineChannel:
    """Carries requests to an engine in this process; see `Channel`."""

    def __init__(self, engine: Submitter, codec: CodecSource, headers: Mapping[str, str]) -> None:
        """Ask `engine`; see `EngineClient`."""
        self._engine = engine
        self._codec = codec
        self._headers = headers

    async def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        event = await self._event(call)
        return await self._answer(await self._submit(event, timeout))

    async def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start; it is stored when this returns."""
        due_ms = None
        if delay is not None:
            if delay < timedelta(0):
                raise UsageError(f"The delay is negative: {delay}.")
            due_ms = self._engine.now_ms() + delay // timedelta(milliseconds=1) if delay else None
        event = await self._event(call, is_send=True, due_ms=due_ms)
        match await self._submit(event, timeout):
            case Accepted() as accepted:
                return RestateClientSendHandle(accepted.invocation_id, _ACCEPTED, is_new=accepted.is_new)
            case outcome:
                raise _error(outcome)

    async def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        return await self._answer(await self._submit(Attach(_selector(invocation), 0), timeout))

    async def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        outcome = await self._submit(GetOutput(_selector(invocation), 0), timeout)
        if isinstance(outcome, Failed) and outcome.code == _NOT_FOUND and outcome.expires_at is None:
            # A stored failure has a time at which it expires.
            raise HttpError(_NOT_FOUND, "invocation not found", source=FailureSource.INGRESS.value)
        return None if isinstance(outcome, NotReady) else await self._answer(outcome)

    async def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill."""
        _check_id(invocation_id, FailureSource.ADMIN)
        event = Cancel(invocation_id) if how is Ending.CANCEL else Kill(invocation_id)
        _done(await self._submit(event, timeout))

    async def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        check_text("awakeable id", awakeable_id)
        _done(await self._submit(CompleteAwakeable(awakeable_id, await self._result(resolution)), timeout))

    async def complete_signal(
        self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None
    ) -> None:
        """Send a signal; no service is needed for it here."""
        check_text("signal's name", name)
        _check_id(invocation_id, FailureSource.INGRESS)
        _done(await self._submit(SendSignal(invocation_id, name, await self._result(resolution)), timeout))

    async def _submit(self, event: Event, timeout: timedelta | None) -> Outcome:
        if timeout is None:
            return await self._engine.submit(event)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._engine.submit(event)
        except TimeoutError as error:
            raise ClientTimeoutError(
                f"No answer within {timeout.total_seconds():g} s; what was asked for may go on.",
                hint="Attach to the invocation, or send with an idempotency key and ask again.",
            ) from error

    async def _event(self, call: Call, *, is_send: bool = False, due_ms: int | None = None) -> Invoke:
        target = call.target
        check_target(target)
        self._check(target)
        return Invoke(
            Target(target.service, target.key or "", target.handler),
            await self._encoded(call.body),
            self._merged(call),
            is_send=is_send,
            idempotency_key=target.idempotency_key,
            delay_until_ms=due_ms,
            scope=target.scope,
            limit_key=target.limit_key,
        )

    def _check(self, target: CallTarget) -> None:
        """Refuse what the ingress of the same engine would refuse; unknown targets are refused by the engine."""
        limits = self._engine.options.limits
        _check_size("the key", target.key or "", limits.key_bytes)
        _check_size("idempotency-key", target.idempotency_key or "", limits.idempotency_key_bytes)
        service = self._engine.services.get(target.service)
        if service is None:
            return
        if (target.key is not None) is (service.type is ServiceType.SERVICE):
            needs = "takes no key" if target.key is not None else "needs a key"
            raise _refused(400, f"{service.name} {needs}")
        handler = service.handlers.get(target.handler)
        if handler is not None and handler.kind is TargetKind.WORKFLOW_RUN and target.idempotency_key is not None:
            raise _refused(400, "a workflow's run takes no idempotency key: its key makes it idempotent already")

    async def _answer(self, outcome: Outcome) -> InvocationAnswer:
        if type(outcome) is Success:
            return InvocationAnswer(outcome.invocation_id, await self._decoded(outcome.value))
        raise _error(outcome)

    async def _result(self, resolution: Resolution) -> bytes | Failure:
        return Failure(500, resolution.reason) if isinstance(resolution, Rejection) else await self._encoded(resolution)

    async def _encoded(self, body: bytes) -> bytes:
        codec = self._codec.codec if not self._codec.is_pending else await self._codec.get()
        return body if codec is None else codec.encode(body)

    async def _decoded(self, body: bytes) -> bytes:
        codec = self._codec.codec if not self._codec.is_pending else await self._codec.get()
        return body if codec is None else await codec.decode(body)

    def _merged(self, call: Call) -> Headers:
        given = {name.lower(): value for name, value in {**self._headers, **(call.headers or {})}.items()}
        check_headers(given)
        if call.content_type is not None:
            given.setdefault("content-type", call.content_type)
        return tuple(given.items())


def _selector(invocation: InvocationRef) -> Selector:
    match invocation:
        case WorkflowRun(workflow, key):
            check_text("workflow", workflow)
            check_text("key", key)
            return WorkflowSelector(workflow, key)
        case IdempotentRequest(service, handler, idempotency_key, key):
            check_target(CallTarget(service=service, handler=handler, key=key, idempotency_key=idempotency_key))
            return IdempotentSelector(service, key or "", handler, idempotency_key)
        case _:
            _check_id(invocation, FailureSource.INGRESS)
            return InvocationSelector(invocation)


def _check_id(invocation_id: str, source: FailureSource) -> None:
    check_text("invocation id", invocation_id)
    try:
        InvocationId.decode(invocation_id)
    except ValueError as error:
        raise _error(Failed(400, f"bad invocation id: {error}", source=source)) from error


def _check_size(what: str, text: str, limit: int) -> None:
    """Refuse what the ingress of the same engine would refuse."""
    if len(text) > limit or len(text.encode()) > limit:
        raise _refused(400, f"{what} is longer than {limit} bytes")


def _refused(status: int, message: str) -> ClientError:
    return _error(Failed(status, message, source=FailureSource.INGRESS))


def _done(outcome: Outcome) -> None:
    if isinstance(outcome, Failed):
        raise _error(outcome)


def _error(outcome: Outcome) -> ClientError:
    if not isinstance(outcome, Failed):
        return ClientError(f"The engine answered with {type(outcome).__name__}.")
    status = outcome.code if _LOWEST_STATUS <= outcome.code <= _HIGHEST_STATUS else 500
    content: dict[str, Any] = {"code": outcome.code, "message": outcome.message, "source": outcome.source.value}
    metadata = dict(outcome.metadata)
    if metadata:
        content["metadata"] = metadata
    return HttpError(
        status,
        outcome.message,
        json.dumps(content),
        metadata,
        invocation_id=outcome.invocation_id,
        source=outcome.source.value,
    )
