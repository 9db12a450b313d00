"""The client of an engine in the same process, for code that blocks.

Owns the step from the calling thread to the engine's event loop; what is asked is `EngineClient`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from durably.authoring.calls import HandlerType
from durably.client.blocking_verbs import BlockingScopedClient, BlockingVerbs
from durably.client.interfaces import InvocationAnswer, InvocationOutput, InvocationRef, RestateClientSendHandle
from durably.engine.client import EngineClient
from durably.serde import DEFAULT_SERDE, Serde

__all__ = ["BlockingEngineClient"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
GivenHeaders = Mapping[str, str] | None


class BlockingEngineClient(BlockingVerbs):
    """Reaches the handlers of an engine in this process. `Engine.sync_client` makes one; there is nothing to close.

    Its methods block, and raise what those of `EngineClient` raise. Not for the thread of the engine's event loop.
    """

    def __init__(self, client: EngineClient, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        """Ask through `client`; `run` runs a coroutine on the engine's loop and waits for it."""
        self._client = client
        self._run = run

    def call(
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
        """Call a handler of any kind and wait for its result."""
        result: OutputT = self._run(
            self._client.call(
                tpe,
                arg,
                key=key,
                idempotency_key=idempotency_key,
                headers=headers,
                scope=scope,
                limit_key=limit_key,
            )
        )
        return result

    def send(
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
        """Start a handler of any kind, after `delay` if one is given. It is stored when this returns."""
        handle: RestateClientSendHandle = self._run(
            self._client.send(
                tpe,
                arg,
                key=key,
                delay=delay,
                idempotency_key=idempotency_key,
                headers=headers,
                scope=scope,
                limit_key=limit_key,
            )
        )
        return handle

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
    ) -> bytes:
        """Call a handler by its names, with bytes in and bytes out."""
        output: bytes = self._run(self._client.generic_call(service, handler, arg, key, idempotency_key, headers))
        return output

    def generic_send(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler by its names, with bytes."""
        handle: RestateClientSendHandle = self._run(
            self._client.generic_send(service, handler, arg, key, send_delay, idempotency_key, headers)
        )
        return handle

    def generic_invoke(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> InvocationAnswer:
        """Call a handler as `generic_call` does; the answer names the invocation too."""
        answer: InvocationAnswer = self._run(
            self._client.generic_invoke(service, handler, arg, key, idempotency_key, headers)
        )
        return answer

    def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait for the result of an invocation that was started before, as bytes; see `EngineClient`."""
        answer: InvocationAnswer = self._run(self._client.generic_attach(invocation, timeout=timeout))
        return answer

    def generic_output(self, invocation: InvocationRef) -> InvocationAnswer | None:
        """Give the result of an invocation that was started before, as bytes; None while it is not completed."""
        answer: InvocationAnswer | None = self._run(self._client.generic_output(invocation))
        return answer

    def attach(self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None) -> Any:
        """Wait for the result of an invocation that was started before."""
        return self._run(self._client.attach(invocation_id, serde, type_hint))

    def output(
        self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None
    ) -> InvocationOutput[Any]:
        """Look whether an invocation is completed, without waiting."""
        output: InvocationOutput[Any] = self._run(self._client.output(invocation_id, serde, type_hint))
        return output

    def workflow_attach(self, tpe: HandlerType[Any, OutputT], key: str) -> OutputT:
        """Wait for the result of a workflow's run; `tpe` is its main handler."""
        result: OutputT = self._run(self._client.workflow_attach(tpe, key))
        return result

    def workflow_output(self, tpe: HandlerType[Any, OutputT], key: str) -> InvocationOutput[OutputT]:
        """Look whether a workflow's run is completed, without waiting; `tpe` is its main handler."""
        output: InvocationOutput[OutputT] = self._run(self._client.workflow_output(tpe, key))
        return output

    def cancel(self, invocation_id: str) -> None:
        """Cancel an invocation: its handler, and what it called, get an `InvocationCancelledError`."""
        self._run(self._client.cancel(invocation_id))

    def kill(self, invocation_id: str) -> None:
        """End an invocation and all that it called, without asking the handlers."""
        self._run(self._client.kill(invocation_id))

    def resolve_awakeable(self, awakeable_id: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Complete an awakeable with a value; nothing happens if it is completed already."""
        self._run(self._client.resolve_awakeable(awakeable_id, value, serde))

    def reject_awakeable(self, awakeable_id: str, reason: str) -> None:
        """Complete an awakeable with a failure, whose status is 500; nothing happens if it is completed already."""
        self._run(self._client.reject_awakeable(awakeable_id, reason))

    def send_signal(self, invocation_id: str, name: str, value: Any = None, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Send a named signal to an invocation; nothing happens if it is completed."""
        self._run(self._client.send_signal(invocation_id, name, value, serde))
