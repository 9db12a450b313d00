"""Calls from a `def` handler to others: the same verbs, which block and give the result itself.

Owns the calling half of `SyncContext` and its form within a scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from durably.authoring.calls import HandlerType
from durably.authoring.futures import SendHandle
from durably.authoring.scopes import ScopedContext

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = ["SyncCalls", "SyncScopedContext", "SyncSendHandle"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

Headers = Mapping[str, str] | None


class SyncSendHandle:
    """A one-way call that has been recorded, in a `def` handler."""

    __slots__ = ("_context", "_handle")

    def __init__(self, context: Context, handle: SendHandle) -> None:
        """Wrap the handle of the operation."""
        self._context = context
        self._handle = handle

    def invocation_id(self) -> str:
        """Give the callee's invocation id."""
        return self._handle.invocation_id_future.result()

    def cancel_invocation(self) -> None:
        """Ask the callee to cancel."""
        self._context.cancel_invocation(self.invocation_id())


class SyncCalls:
    """The calling half of a `def` handler's context."""

    __slots__ = ("_start",)

    def __init__(self, start: Context) -> None:
        """Wait for the operations of `start`."""
        self._start: Context = start

    @property
    def start(self) -> Context:
        """The same operations, not waited for: they give futures with `result()`."""
        return self._start

    def call(
        self,
        handler: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> OutputT:
        """Call a handler and block until its result is there; see `Context.call`."""
        return self.start.call(
            handler,
            arg,
            key=key,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=scope,
            limit_key=limit_key,
        ).result()

    def send(
        self,
        handler: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> SyncSendHandle:
        """Call a handler without waiting for it; see `Context.send`."""
        handle = self.start.send(
            handler,
            arg,
            key=key,
            delay=delay,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=scope,
            limit_key=limit_key,
        )
        return SyncSendHandle(self.start, handle)

    def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a plain service and block until its result is there."""
        return self.start.service_call(tpe, arg, idempotency_key, headers).result()

    def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a plain service without waiting for it."""
        return SyncSendHandle(self.start, self.start.service_send(tpe, arg, send_delay, idempotency_key, headers))

    def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a virtual object and block until its result is there."""
        return self.start.object_call(tpe, key, arg, idempotency_key, headers).result()

    def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a virtual object without waiting for it."""
        return SyncSendHandle(self.start, self.start.object_send(tpe, key, arg, send_delay, idempotency_key, headers))

    def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a workflow and block until its result is there."""
        return self.start.workflow_call(tpe, key, arg, idempotency_key, headers).result()

    def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a workflow without waiting for it."""
        return SyncSendHandle(self.start, self.start.workflow_send(tpe, key, arg, send_delay, idempotency_key, headers))

    def generic_call(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> bytes:
        """Call a handler by name, with bytes in and bytes out."""
        return self.start.generic_call(service, handler, arg, key, idempotency_key, headers, scope, limit_key).result()

    def generic_send(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> SyncSendHandle:
        """Call a handler by name, with bytes, without waiting for it."""
        handle = self.start.generic_send(
            service, handler, arg, key, send_delay, idempotency_key, headers, scope, limit_key
        )
        return SyncSendHandle(self.start, handle)

    def scope(self, scope: str) -> SyncScopedContext:
        """Give the calls of this context, made within `scope`; see `Context.scope`."""
        return SyncScopedContext(self.start, self.start.scope(scope))


class SyncScopedContext:
    """The calls of a `def` handler's context within one scope."""

    __slots__ = ("_scoped", "_start")

    def __init__(self, start: Context, scoped: ScopedContext) -> None:
        """Wait for the calls of `scoped`."""
        self._start = start
        self._scoped = scoped

    def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a plain service within this scope and block until its result is there."""
        return self._scoped.service_call(tpe, arg, limit_key, idempotency_key, headers).result()

    def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a plain service within this scope without waiting for it."""
        handle = self._scoped.service_send(tpe, arg, send_delay, limit_key, idempotency_key, headers)
        return SyncSendHandle(self._start, handle)

    def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a virtual object within this scope and block until its result is there."""
        return self._scoped.object_call(tpe, key, arg, limit_key, idempotency_key, headers).result()

    def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a virtual object within this scope without waiting for it."""
        handle = self._scoped.object_send(tpe, key, arg, send_delay, limit_key, idempotency_key, headers)
        return SyncSendHandle(self._start, handle)

    def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> OutputT:
        """Call a handler of a workflow within this scope and block until its result is there."""
        return self._scoped.workflow_call(tpe, key, arg, limit_key, idempotency_key, headers).result()

    def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SyncSendHandle:
        """Call a handler of a workflow within this scope without waiting for it."""
        handle = self._scoped.workflow_send(tpe, key, arg, send_delay, limit_key, idempotency_key, headers)
        return SyncSendHandle(self._start, handle)
