"""The client of an engine in the same process: what `durably.client` does over HTTP, done without it.

Owns turning calls of handlers into events, and outcomes into values or `HttpError`, so that code is the same whether
the runtime is embedded or a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from durably.authoring.calls import HandlerType
from durably.authoring.codec import CodecSource
from durably.client import requests
from durably.client.interfaces import (
    HttpError,
    IdempotentRequest,
    InvocationAnswer,
    InvocationOutput,
    InvocationRef,
    RestateClientSendHandle,
    WorkflowRun,
)
from durably.client.requests import CallTarget
from durably.client.verbs import ScopedClient, Verbs
from durably.engine.actions import Accepted, Failed, NotReady, Outcome, Success
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
from durably.engine.records import Failure, Headers, Target
from durably.errors import ClientError, UsageError
from durably.serde import DEFAULT_SERDE, Serde, resolve_serde

__all__ = ["EngineClient", "Submitter"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
GivenHeaders = Mapping[str, str] | None

_ACCEPTED = 202
_LOWEST_STATUS = 100
_HIGHEST_STATUS = 999


class Submitter(Protocol):
    """What the client needs of the engine; callable on any event loop."""

    def now_ms(self) -> int:
        """Tell the time."""
        ...

    async def submit(self, event: Event) -> Outcome:
        """Do what is asked; see `EngineApi.submit`."""
        ...


class EngineClient(Verbs):
    """Reaches the handlers of an engine in this process. `Engine.client` makes one; there is nothing to close.

    Every method raises `HttpError` when the handler failed for good or the engine refuses, `EngineStoppedError` when
    the engine has stopped, and `StoreError` when it cannot store.
    """

    def __init__(self, engine: Submitter, codec: CodecSource, headers: Mapping[str, str] | None = None) -> None:
        """Ask `engine`.

        Args:
            engine: Which.
            codec: The codec of its services.
            headers: Handed to every handler.
        """
        self._engine = engine
        self._codec = codec
        self.headers: dict[str, str] = dict(headers or {})

    # ---- calls and sends

    async def call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: GivenHeaders = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> OutputT:
        """Call a handler of any kind and wait for its result.

        Args:
            tpe: The handler, as its decorator gave it back.
            arg: Its input.
            key: The object's or workflow's key.
            idempotency_key: Calls with the same key become one invocation.
            headers: Handed to the handler.
            scope: Not supported by the embedded engine.
            limit_key: As `scope`.

        Raises:
            HttpError: The handler failed for good, or the engine refused.
            UsageError: The function is no handler, or the key does not fit.
        """
        handler, target = requests.handler_target(tpe, key, idempotency_key, scope, limit_key)
        body, content_type = requests.typed_body(handler, arg)
        output = await self._call(target, body, content_type, headers)
        result: Any = handler.output_serde.deserialize(output)
        return result  # type: ignore[no-any-return]

    async def send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: GivenHeaders = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler of any kind, after `delay` if one is given; see `call`. It is stored when this returns."""
        handler, target = requests.handler_target(tpe, key, idempotency_key, scope, limit_key)
        body, content_type = requests.typed_body(handler, arg)
        return await self._send(target, body, content_type, headers, delay)

    def scope(self, scope: str) -> ScopedClient:
        """Give a client whose calls carry `scope`, which the embedded engine refuses."""
        return ScopedClient(self, scope)

    async def generic_call(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> bytes:
        """Call a handler by its names, with bytes in and bytes out."""
        target = CallTarget(
            service=service,
            handler=handler,
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
        )
        return await self._call(target, arg, requests.raw_content_type(arg), headers)

    async def generic_send(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler by its names, with bytes."""
        target = CallTarget(
            service=service,
            handler=handler,
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
        )
        return await self._send(target, arg, requests.raw_content_type(arg), headers, send_delay)

    async def _call(self, target: CallTarget, body: bytes, content_type: str | None, headers: GivenHeaders) -> bytes:
        event = _invoke(target, await self._encoded(body), self._headers(content_type, headers))
        return await self._decoded(_value(await self._engine.submit(event)))

    async def _send(
        self, target: CallTarget, body: bytes, content_type: str | None, headers: GivenHeaders, delay: timedelta | None
    ) -> RestateClientSendHandle:
        due_ms = None
        if delay is not None:
            if delay < timedelta(0):
                raise UsageError(f"The delay is negative: {delay}.")
            due_ms = self._engine.now_ms() + delay // timedelta(milliseconds=1) if delay else None
        sent = self._headers(content_type, headers)
        event = _invoke(target, await self._encoded(body), sent, is_send=True, due_ms=due_ms)
        match await self._engine.submit(event):
            case Accepted() as accepted:
                return RestateClientSendHandle(accepted.invocation_id, _ACCEPTED, is_new=accepted.is_new)
            case outcome:
                raise _error(outcome)

    async def generic_invoke(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> InvocationAnswer:
        """Call a handler as `generic_call` does; the answer names the invocation too."""
        target = CallTarget(service=service, handler=handler, key=key, idempotency_key=idempotency_key)
        sent = self._headers(requests.raw_content_type(arg), headers)
        return await self._answer(await self._engine.submit(_invoke(target, await self._encoded(arg), sent)))

    # ---- invocations that were started before

    async def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait for the result of an invocation that was started before, as bytes.

        Args:
            invocation: Which.
            timeout: Longest wait; None waits as long as the handler takes.

        Raises:
            HttpError: It failed for good, or is not known (404).
            TimeoutError: It is not completed yet.
        """
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            outcome = await self._engine.submit(Attach(_selector(invocation), 0))
        return await self._answer(outcome)

    async def generic_output(self, invocation: InvocationRef) -> InvocationAnswer | None:
        """Give the result of an invocation that was started before, as bytes; None while it is not completed.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        outcome = await self._engine.submit(GetOutput(_selector(invocation), 0))
        return None if isinstance(outcome, NotReady) else await self._answer(outcome)

    async def _answer(self, outcome: Outcome) -> InvocationAnswer:
        if type(outcome) is Success:
            return InvocationAnswer(outcome.invocation_id, await self._decoded(outcome.value))
        raise _error(outcome)

    async def attach(self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None) -> Any:
        """Wait for the result of an invocation that was started before.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        outcome = await self._engine.submit(Attach(InvocationSelector(invocation_id), 0))
        return resolve_serde(serde, type_hint).deserialize(await self._decoded(_value(outcome)))

    async def output(
        self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None
    ) -> InvocationOutput[Any]:
        """Look whether an invocation is completed, without waiting.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        outcome = await self._engine.submit(GetOutput(InvocationSelector(invocation_id), 0))
        return await self._output(outcome, resolve_serde(serde, type_hint))

    async def workflow_attach(self, tpe: HandlerType[Any, OutputT], key: str) -> OutputT:
        """Wait for the result of a workflow's run; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        handler, target = requests.handler_target(tpe, key)
        outcome = await self._engine.submit(Attach(WorkflowSelector(target.service, key), 0))
        result: Any = handler.output_serde.deserialize(await self._decoded(_value(outcome)))
        return result  # type: ignore[no-any-return]

    async def workflow_output(self, tpe: HandlerType[Any, OutputT], key: str) -> InvocationOutput[OutputT]:
        """Look whether a workflow's run is completed, without waiting; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        handler, target = requests.handler_target(tpe, key)
        outcome = await self._engine.submit(GetOutput(WorkflowSelector(target.service, key), 0))
        return await self._output(outcome, handler.output_serde)

    async def _output(self, outcome: Outcome, serde: Serde[Any]) -> InvocationOutput[Any]:
        if isinstance(outcome, NotReady):
            return InvocationOutput(is_ready=False)
        return InvocationOutput(is_ready=True, value=serde.deserialize(await self._decoded(_value(outcome))))

    async def cancel(self, invocation_id: str) -> None:
        """Cancel an invocation: its handler, and what it called, get an `InvocationCancelledError`.

        Raises:
            HttpError: It is not known (404), or completed (409).
        """
        _done(await self._engine.submit(Cancel(invocation_id)))

    async def kill(self, invocation_id: str) -> None:
        """End an invocation and all that it called, without asking the handlers.

        Raises:
            HttpError: It is not known (404), or completed (409).
        """
        _done(await self._engine.submit(Kill(invocation_id)))

    # ---- awakeables and signals

    async def resolve_awakeable(self, awakeable_id: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Complete an awakeable with a value; nothing happens if it is completed already."""
        body = await self._encoded(resolve_serde(serde).serialize(value))
        _done(await self._engine.submit(CompleteAwakeable(awakeable_id, body)))

    async def reject_awakeable(self, awakeable_id: str, reason: str) -> None:
        """Complete an awakeable with a failure, whose status is 500; nothing happens if it is completed already."""
        _done(await self._engine.submit(CompleteAwakeable(awakeable_id, Failure(500, reason))))

    async def send_signal(
        self, invocation_id: str, name: str, value: Any = None, serde: Serde[Any] = DEFAULT_SERDE
    ) -> None:
        """Send a named signal to an invocation; nothing happens if it is completed."""
        body = await self._encoded(resolve_serde(serde).serialize(value))
        _done(await self._engine.submit(SendSignal(invocation_id, name, body)))

    # ---- values

    async def _encoded(self, body: bytes) -> bytes:
        codec = self._codec.codec if not self._codec.is_pending else await self._codec.get()
        return body if codec is None else codec.encode(body)

    async def _decoded(self, body: bytes) -> bytes:
        codec = self._codec.codec if not self._codec.is_pending else await self._codec.get()
        return body if codec is None else await codec.decode(body)

    def _headers(self, content_type: str | None, headers: GivenHeaders) -> Headers:
        given = {name.lower(): value for name, value in {**self.headers, **(headers or {})}.items()}
        if content_type is not None:
            given.setdefault("content-type", content_type)
        return tuple(given.items())


def _invoke(
    target: CallTarget, body: bytes, headers: Headers, *, is_send: bool = False, due_ms: int | None = None
) -> Invoke:
    if target.limit_key is not None and target.scope is None:
        raise UsageError("A limit key needs a scope.")
    if target.idempotency_key is not None and not target.idempotency_key:
        raise UsageError("The idempotency key is empty.", hint="Pass None to do without.")
    return Invoke(
        Target(target.service, target.key or "", target.handler),
        body,
        headers,
        is_send=is_send,
        idempotency_key=target.idempotency_key,
        delay_until_ms=due_ms,
        scope=target.scope,
        limit_key=target.limit_key,
    )


def _selector(invocation: InvocationRef) -> Selector:
    match invocation:
        case WorkflowRun(workflow, key):
            return WorkflowSelector(workflow, key)
        case IdempotentRequest(service, handler, idempotency_key, key):
            return IdempotentSelector(service, key or "", handler, idempotency_key)
        case _:
            return InvocationSelector(invocation)


def _value(outcome: Outcome) -> bytes:
    if type(outcome) is Success:
        return outcome.value
    raise _error(outcome)


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
