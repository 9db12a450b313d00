"""What is asked of the runtime, and asking it: awaiting or blocking.

Owns the four questions, as values that the rules of `durably.web.performing` give out and get answers to, and the two
ways to ask. A way that waits and one that blocks differ here only.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar, assert_never

from durably.client.interfaces import InvocationAnswer, InvocationRef, RestateClientSendHandle

__all__ = [
    "AsyncCaller",
    "BlockingCaller",
    "Invoke",
    "Look",
    "Operation",
    "Reply",
    "Send",
    "Wait",
    "ask",
    "ask_blocking",
]

T = TypeVar("T")


def _no_headers() -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke:
    """Call and wait for the result: an `InvocationAnswer`."""

    service: str
    handler: str
    payload: bytes
    key: str | None = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=_no_headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Call without waiting: a `RestateClientSendHandle`."""

    service: str
    handler: str
    payload: bytes
    key: str | None = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=_no_headers)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for a result: an `InvocationAnswer`, or a `TimeoutError`."""

    invocation: InvocationRef
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Look for a result: an `InvocationAnswer`, or None."""

    invocation: InvocationRef


Operation = Invoke | Send | Wait | Look
Reply = InvocationAnswer | RestateClientSendHandle | None


class AsyncCaller(Protocol):
    """What is needed of a client that awaits."""

    async def generic_invoke(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> InvocationAnswer:
        """Call."""
        ...

    async def generic_send(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Send."""
        ...

    async def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait."""
        ...

    async def generic_output(self, invocation: InvocationRef) -> InvocationAnswer | None:
        """Look."""
        ...


class BlockingCaller(Protocol):
    """What is needed of a client that blocks."""

    def generic_invoke(
        self,
        service: str,
        handler: str,
        arg: bytes,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> InvocationAnswer:
        """Call."""
        ...

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
        """Send."""
        ...

    def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait."""
        ...

    def generic_output(self, invocation: InvocationRef) -> InvocationAnswer | None:
        """Look."""
        ...


async def ask(client: AsyncCaller, rules: Generator[Operation, Any, T]) -> T:
    """Follow the rules to their end. What a question raises is raised in them."""
    reply: Reply = None
    error: Exception | None = None
    while True:
        try:
            operation = rules.send(reply) if error is None else rules.throw(error)
        except StopIteration as finished:
            result: T = finished.value
            return result
        reply, error = None, None
        try:
            match operation:
                case Invoke() as it:
                    reply = await client.generic_invoke(
                        it.service, it.handler, it.payload, it.key, it.idempotency_key, dict(it.headers)
                    )
                case Send() as it:
                    reply = await client.generic_send(
                        it.service, it.handler, it.payload, it.key, None, it.idempotency_key, dict(it.headers)
                    )
                case Wait(invocation, timeout):
                    reply = await client.generic_attach(invocation, timeout=timeout)
                case Look(invocation):
                    reply = await client.generic_output(invocation)
                case _:
                    assert_never(operation)
        except Exception as raised:
            error = raised


def ask_blocking(client: BlockingCaller, rules: Generator[Operation, Any, T]) -> T:
    """Follow the rules to their end; see `ask`."""
    reply: Reply = None
    error: Exception | None = None
    while True:
        try:
            operation = rules.send(reply) if error is None else rules.throw(error)
        except StopIteration as finished:
            result: T = finished.value
            return result
        reply, error = None, None
        try:
            match operation:
                case Invoke() as it:
                    reply = client.generic_invoke(
                        it.service, it.handler, it.payload, it.key, it.idempotency_key, dict(it.headers)
                    )
                case Send() as it:
                    reply = client.generic_send(
                        it.service, it.handler, it.payload, it.key, None, it.idempotency_key, dict(it.headers)
                    )
                case Wait(invocation, timeout):
                    reply = client.generic_attach(invocation, timeout=timeout)
                case Look(invocation):
                    reply = client.generic_output(invocation)
                case _:
                    assert_never(operation)
        except Exception as raised:
            error = raised
