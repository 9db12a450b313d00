"""What a client offers to code that blocks, whichever way it reaches the runtime.

Owns the operations, which are those of `client.durable` without the waiting words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from durably.authoring.calls import HandlerType
from durably.client import relays
from durably.client.blocking_verbs import BlockingScopedClient, BlockingVerbs
from durably.client.channels import BlockingChannel, Ending, Rejection, Resolution
from durably.client.foreign import Foreign
from durably.client.interfaces import (
    HttpError,
    InvocationAnswer,
    InvocationOutput,
    InvocationRef,
    RestateClientSendHandle,
)
from durably.client.targets import Call, CallTarget, raw_content_type, typed_call, workflow_target
from durably.serde import DEFAULT_SERDE, Serde, resolve_serde

__all__ = ["BlockingDurablyClient"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
Headers = Mapping[str, str] | None


class BlockingDurablyClient(BlockingVerbs):
    """Reaches handlers from outside of handlers; the type to name where either kind of runtime will do.

    Every method may raise `HttpError` where the handler failed for good or the runtime refuses, `UsageError` for what
    can be sent to no runtime, and `ClientTimeoutError` at the end of its `timeout`. Without one it waits as long as
    the handler takes. The end of a timeout ends the wait, not the invocation; that is what `cancel` is for.
    """

    def __init__(self, channel: BlockingChannel) -> None:
        """Reach the runtime through `channel`."""
        self.channel: BlockingChannel = channel

    # ---- calls and sends

    def call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a handler of any kind and wait for its result.

        Args:
            tpe: The handler, as its decorator gave it back, or a `Foreign` one.
            arg: Its input.
            key: The object's or workflow's key.
            idempotency_key: Calls with the same key become one invocation, so that this one may be sent again.
            headers: Handed to the handler.
            scope: Scope of the invocation; not supported by the embedded engine.
            limit_key: Limit key within the scope.
            timeout: Longest wait; None waits as long as the handler takes.

        Raises:
            HttpError: The handler failed for good, or the runtime refused.
            ClientTimeoutError: No result yet; the invocation goes on.
            UnreachableError: The runtime could not be reached, or the connection broke.
            UsageError: The function is no handler, or the key does not fit.
        """
        call, serde = typed_call(tpe, arg, key, idempotency_key, headers, scope, limit_key)
        result: Any = _read(self.channel.invoke(call, timeout), serde)
        return result  # type: ignore[no-any-return]

    def send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler of any kind, after `delay` if one is given; see `call`. It is stored when this returns."""
        call, _ = typed_call(tpe, arg, key, idempotency_key, headers, scope, limit_key)
        return self.channel.send(call, delay, timeout)

    def scope(self, scope: str) -> BlockingScopedClient:
        """Give a client whose calls carry `scope`, which the embedded engine refuses."""
        return BlockingScopedClient(self, scope)

    def generic_call(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> bytes:
        """Call a handler by its names, with bytes in and bytes out: JSON, unless `headers` name a content type."""
        call = _raw(service, handler, arg, key, idempotency_key, headers, scope, limit_key)
        return (self.channel.invoke(call, timeout)).body

    def generic_send(
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
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler by its names, with bytes: JSON, unless `headers` name a content type."""
        call = _raw(service, handler, arg, key, idempotency_key, headers, scope, limit_key)
        return self.channel.send(call, send_delay, timeout)

    def generic_invoke(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> InvocationAnswer:
        """Call a handler as `generic_call` does; the answer names the invocation too."""
        return self.channel.invoke(_raw(service, handler, arg, key, idempotency_key, headers), timeout)

    # ---- invocations that were started before

    def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait for the result of an invocation that was started before, as bytes.

        Args:
            invocation: Which: its id, a `WorkflowRun` or an `IdempotentRequest`.
            timeout: Longest wait; None waits as long as the handler takes.

        Raises:
            HttpError: It failed for good, or is not known (404).
            ClientTimeoutError: It is not completed yet. It is a `TimeoutError`.
        """
        return self.channel.attach(invocation, timeout)

    def generic_output(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer | None:
        """Give the result of an invocation that was started before, as bytes; None while it is not completed.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        return self.channel.output(invocation, timeout)

    def attach(
        self,
        invocation_id: InvocationRef,
        serde: Serde[Any] = DEFAULT_SERDE,
        type_hint: Any = None,
        *,
        timeout: timedelta | None = None,
    ) -> Any:
        """Wait for the result of an invocation that was started before; see `generic_attach`."""
        return _read(self.channel.attach(invocation_id, timeout), resolve_serde(serde, type_hint))

    def output(
        self,
        invocation_id: InvocationRef,
        serde: Serde[Any] = DEFAULT_SERDE,
        type_hint: Any = None,
        *,
        timeout: timedelta | None = None,
    ) -> InvocationOutput[Any]:
        """Look whether an invocation is completed, without waiting; see `generic_output`."""
        return _output(self.channel.output(invocation_id, timeout), resolve_serde(serde, type_hint))

    def cancel(self, invocation_id: str, *, timeout: timedelta | None = None) -> None:
        """Cancel an invocation: its handler, and what it called, get an `InvocationCancelledError`.

        Raises:
            HttpError: It is not known (404), or completed (409).
            ConfigurationError: The client reaches the runtime over HTTP, and was made without `admin_url`.
        """
        self.channel.end(invocation_id, Ending.CANCEL, timeout)

    def kill(self, invocation_id: str, *, timeout: timedelta | None = None) -> None:
        """End an invocation and all that it called, without asking the handlers; see `cancel`."""
        self.channel.end(invocation_id, Ending.KILL, timeout)

    # ---- workflows

    def workflow_submit(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT | None = None,
        *,
        delay: timedelta | None = None,
        headers: Headers = None,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start the run of a workflow; `tpe` is its main handler. `is_new` is False where it was started before."""
        return self.send(tpe, arg, key=key, delay=delay, headers=headers, timeout=timeout)

    def workflow_attach(
        self,
        tpe: HandlerType[Any, OutputT] | Foreign[Any, OutputT],
        key: str,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Wait for the result of a workflow's run; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        run, serde = workflow_target(tpe, key)
        result: Any = _read(self.channel.attach(run, timeout), serde)
        return result  # type: ignore[no-any-return]

    def workflow_output(
        self,
        tpe: HandlerType[Any, OutputT] | Foreign[Any, OutputT],
        key: str,
        *,
        timeout: timedelta | None = None,
    ) -> InvocationOutput[OutputT]:
        """Look whether a workflow's run is completed, without waiting; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        run, serde = workflow_target(tpe, key)
        return _output(self.channel.output(run, timeout), serde)

    def resolve_promise(
        self,
        workflow: HandlerType[Any, Any] | Foreign[Any, Any] | str,
        key: str,
        name: str,
        value: Any = None,
        serde: Serde[Any] = DEFAULT_SERDE,
        *,
        timeout: timedelta | None = None,
    ) -> None:
        """Signal a workflow: complete one of its durable promises with a value.

        Args:
            workflow: One of its handlers, or its name. `expose_promises` was called for it.
            key: Of the workflow.
            name: Of the promise.
            value: What whoever awaits it gets.
            serde: Writes the value; what the workflow's `ctx.promise` reads with.
            timeout: Longest wait.

        Raises:
            HttpError: It was completed before (409).
            ClientError: The workflow does not expose its promises.
        """
        self._complete_promise(workflow, key, name, resolve_serde(serde).serialize(value), timeout)

    def reject_promise(
        self,
        workflow: HandlerType[Any, Any] | Foreign[Any, Any] | str,
        key: str,
        name: str,
        reason: str,
        *,
        timeout: timedelta | None = None,
    ) -> None:
        """Complete a durable promise of a workflow with a failure, whose status is 500; see `resolve_promise`."""
        self._complete_promise(workflow, key, name, Rejection(reason), timeout)

    def _complete_promise(
        self, workflow: Any, key: str, name: str, resolution: Resolution, timeout: timedelta | None
    ) -> None:
        call = relays.promise_call(workflow, key, name, resolution)
        try:
            self.channel.invoke(call, timeout)
        except HttpError as error:
            raise relays.no_promises_error(error) from error

    # ---- awakeables and signals

    def resolve_awakeable(
        self,
        awakeable_id: str,
        value: Any = None,
        serde: Serde[Any] = DEFAULT_SERDE,
        *,
        timeout: timedelta | None = None,
    ) -> None:
        """Complete an awakeable with a value; nothing happens if it is completed already."""
        self.channel.complete_awakeable(awakeable_id, resolve_serde(serde).serialize(value), timeout)

    def reject_awakeable(self, awakeable_id: str, reason: str, *, timeout: timedelta | None = None) -> None:
        """Complete an awakeable with a failure, whose status is 500; nothing happens if it is completed already."""
        self.channel.complete_awakeable(awakeable_id, Rejection(reason), timeout)

    def resolve_signal(
        self,
        invocation_id: str,
        name: str,
        value: Any = None,
        serde: Serde[Any] = DEFAULT_SERDE,
        *,
        timeout: timedelta | None = None,
    ) -> None:
        """Send a signal with a value to an invocation; nothing happens if it is completed, or had that signal.

        Raises:
            ClientError: The runtime is reached over HTTP, and the application has no `signal_service`.
        """
        self.channel.complete_signal(invocation_id, name, resolve_serde(serde).serialize(value), timeout)

    def reject_signal(self, invocation_id: str, name: str, reason: str, *, timeout: timedelta | None = None) -> None:
        """Send a signal with a failure, whose status is 500, to an invocation; see `resolve_signal`."""
        self.channel.complete_signal(invocation_id, name, Rejection(reason), timeout)


def _raw(
    service: str,
    handler: str,
    body: bytes,
    key: str | None,
    idempotency_key: str | None,
    headers: Headers,
    scope: str | None = None,
    limit_key: str | None = None,
) -> Call:
    target = CallTarget(
        service=service, handler=handler, key=key, idempotency_key=idempotency_key, scope=scope, limit_key=limit_key
    )
    return Call(target, body, raw_content_type(body), headers)


def _read(answer: InvocationAnswer, serde: Serde[Any] | None) -> Any:
    return None if serde is None else serde.deserialize(answer.body)


def _output(answer: InvocationAnswer | None, serde: Serde[Any] | None) -> InvocationOutput[Any]:
    return InvocationOutput(is_ready=False) if answer is None else InvocationOutput(True, _read(answer, serde))
