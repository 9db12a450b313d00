"""Calls from one handler to another, always through the runtime.

Owns the verbs of the peer's API (`service_call`, `object_send`, …), and the two that cover them all
(`call`, `send`). `durably.authoring.scopes` has the scoped forms. Each is one system call; arguments
are serialized by the callee's own serdes, so that both sides agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from durably.authoring.futures import RestateDurableCallFuture, SendHandle
from durably.authoring.handler_types import HandlerType
from durably.authoring.handlers import handler_of
from durably.authoring.operations import Operations, milliseconds, wall_clock_ms
from durably.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from durably.authoring.scopes import ScopedContext

__all__ = ["Calls", "HandlerType", "call_by_name", "call_handler", "check_key", "send_by_name", "send_handler"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

Headers = Mapping[str, str] | None


class Calls(Operations):
    """The calling half of a context."""

    __slots__ = ()

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
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of any service, object or workflow, and give the future of its result.

        Args:
            handler: The registered function.
            arg: Its input; leave it out for handlers that take none.
            key: Key of the object or workflow; None for a plain service.
            idempotency_key: Calls with the same key become one invocation; not empty.
            headers: Sent to the callee.
            scope: Scope of the call (protocol V7).
            limit_key: Limit key within the scope (protocol V7).

        Raises:
            UsageError: `handler` is not registered, or the key does not fit the kind of its service.
            SdkInternalException: The journal holds something else here; the attempt fails with 570.

        Source: service protocol, CallCommand with its two completions.
        """
        return call_handler(self, handler, arg, key, idempotency_key, headers, scope, limit_key)

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
    ) -> SendHandle:
        """Call a handler without waiting for it, now or after `delay`.

        Source: service protocol, OneWayCallCommand.
        """
        return send_handler(self, handler, arg, key, delay, idempotency_key, headers, scope, limit_key)

    def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of a plain service."""
        return call_handler(self, tpe, arg, None, idempotency_key, headers, None, None)

    def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of a plain service without waiting for it."""
        return send_handler(self, tpe, arg, None, send_delay, idempotency_key, headers, None, None)

    def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of the virtual object with that key."""
        return call_handler(self, tpe, arg, key, idempotency_key, headers, None, None)

    def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of the virtual object with that key without waiting for it."""
        return send_handler(self, tpe, arg, key, send_delay, idempotency_key, headers, None, None)

    def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> RestateDurableCallFuture[OutputT]:
        """Call a handler of the workflow with that key."""
        return call_handler(self, tpe, arg, key, idempotency_key, headers, None, None)

    def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
    ) -> SendHandle:
        """Call a handler of the workflow with that key without waiting for it."""
        return send_handler(self, tpe, arg, key, send_delay, idempotency_key, headers, None, None)

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
    ) -> RestateDurableCallFuture[bytes]:
        """Call a handler by name, with bytes in and bytes out."""
        return call_by_name(self, service, handler, arg, bytes, key, idempotency_key, headers, scope, limit_key)

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
    ) -> SendHandle:
        """Call a handler by name, with bytes, without waiting for it."""
        return send_by_name(self, service, handler, arg, key, send_delay, idempotency_key, headers, scope, limit_key)

    def scope(self, scope: str) -> ScopedContext:
        """Give the calls of this context, made within `scope`.

        Needs protocol V7 and a runtime with flow control; with less the attempt fails and is retried.

        Args:
            scope: 1 to 36 characters of `[a-zA-Z0-9_.-]`.

        Source: service protocol V7, `scope` of the call commands.
        """
        from durably.authoring.scopes import ScopedContext

        return ScopedContext(self, scope)


def call_handler(
    context: Operations,
    function: Callable[..., Any],
    arg: Any,
    key: str | None,
    idempotency_key: str | None,
    headers: Headers,
    scope: str | None,
    limit_key: str | None,
) -> RestateDurableCallFuture[Any]:
    """Call a registered function with its own serdes."""
    target = handler_of(function)
    check_key(target.service_name, target.is_keyed, key)
    return call_by_name(
        context,
        target.service_name,
        target.name,
        target.input_serde.serialize(arg),
        target.output_serde.deserialize,
        key,
        idempotency_key,
        headers,
        scope,
        limit_key,
    )


def send_handler(
    context: Operations,
    function: Callable[..., Any],
    arg: Any,
    key: str | None,
    delay: timedelta | None,
    idempotency_key: str | None,
    headers: Headers,
    scope: str | None,
    limit_key: str | None,
) -> SendHandle:
    """Call a registered function with its own serdes, without waiting."""
    target = handler_of(function)
    check_key(target.service_name, target.is_keyed, key)
    payload = target.input_serde.serialize(arg)
    return send_by_name(
        context, target.service_name, target.name, payload, key, delay, idempotency_key, headers, scope, limit_key
    )


def call_by_name(
    context: Operations,
    service: str,
    handler: str,
    payload: bytes,
    decode: Callable[[bytes], Any],
    key: str | None,
    idempotency_key: str | None,
    headers: Headers,
    scope: str | None,
    limit_key: str | None,
) -> RestateDurableCallFuture[Any]:
    """Make the system call of a call."""
    try:
        id_handle, handle = context.machine.sys_call(
            service,
            handler,
            payload if context.codec is None else context.codec.encode(payload),
            key=key or "",
            idempotency_key=idempotency_key,
            headers=tuple(headers.items()) if headers else (),
            scope=scope,
            limit_key=limit_key,
        )
    except ProtocolError as error:
        raise context.broken(error) from error
    return RestateDurableCallFuture(context, handle, decode, id_handle)


def send_by_name(
    context: Operations,
    service: str,
    handler: str,
    payload: bytes,
    key: str | None,
    delay: timedelta | None,
    idempotency_key: str | None,
    headers: Headers,
    scope: str | None,
    limit_key: str | None,
) -> SendHandle:
    """Make the system call of a one-way call."""
    try:
        handle = context.machine.sys_send(
            service,
            handler,
            payload if context.codec is None else context.codec.encode(payload),
            key=key or "",
            idempotency_key=idempotency_key,
            headers=tuple(headers.items()) if headers else (),
            scope=scope,
            limit_key=limit_key,
            invoke_time_ms=wall_clock_ms() + milliseconds(delay, "send") if delay else 0,
        )
    except ProtocolError as error:
        raise context.broken(error) from error
    return SendHandle(context, handle)


def check_key(service: str, is_keyed: bool, key: str | None) -> None:
    """Refuse a key where the service has none, and no key where it needs one.

    Raises:
        UsageError: As above; the text names the service.
    """
    if is_keyed and key is None:
        raise UsageError(f"{service} is keyed, and no key was given.", hint="Pass key=..., of the object or workflow.")
    if not is_keyed and key:
        raise UsageError(f"{service} is a plain service, but the key {key!r} was given.", hint="Leave the key out.")
