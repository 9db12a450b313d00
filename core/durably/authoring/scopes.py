"""Calls within a scope: a sub-grouping of invocations with limits of its own.

Source: service protocol V7, `scope` and `limit_key` of the call commands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

from durably.authoring.calls import HandlerType, Headers, call_handler, send_handler
from durably.authoring.futures import RestateDurableCallFuture, SendHandle
from durably.authoring.operations import Operations

__all__ = ["ScopedContext"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class ScopedContext:
    """The calls of a context within one scope."""

    __slots__ = ("_calls", "_scope")

    def __init__(self, calls: Operations, scope: str) -> None:
        """Make the calls of `calls` within `scope`."""
        self._calls = calls
        self._scope = scope

    def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of a plain service within this scope."""
        return call_handler(self._calls, tpe, arg, None, idempotency_key, headers, self._scope, limit_key)

    def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of a plain service within this scope without waiting for it."""
        return send_handler(self._calls, tpe, arg, None, send_delay, idempotency_key, headers, self._scope, limit_key)

    def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of a virtual object within this scope."""
        return call_handler(self._calls, tpe, arg, key, idempotency_key, headers, self._scope, limit_key)

    def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of a virtual object within this scope without waiting for it."""
        return send_handler(self._calls, tpe, arg, key, send_delay, idempotency_key, headers, self._scope, limit_key)

    def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of a workflow within this scope."""
        return call_handler(self._calls, tpe, arg, key, idempotency_key, headers, self._scope, limit_key)

    def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of a workflow within this scope without waiting for it."""
        return send_handler(self._calls, tpe, arg, key, send_delay, idempotency_key, headers, self._scope, limit_key)
