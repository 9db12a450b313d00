"""What a client is, whichever way it reaches the runtime, and what it gives back.

Owns the interfaces that restate-sdk names `RestateClient` and `RestateScopedClient`, the handle of a send, and the
error of a refused request. How requests are built is in `client.requests`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from durably.authoring.calls import HandlerType
from durably.errors import ClientError

__all__ = [
    "ClientTimeoutError",
    "HttpError",
    "IdempotentRequest",
    "InvocationAnswer",
    "InvocationOutput",
    "InvocationRef",
    "RestateClient",
    "RestateClientSendHandle",
    "RestateScopedClient",
    "UnreachableError",
    "WorkflowRun",
]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
T = TypeVar("T")


class UnreachableError(ClientError):
    """The runtime could not be reached, or the connection broke before it answered: it may have got the request."""


class ClientTimeoutError(ClientError, TimeoutError):
    """The time that the caller gave has passed. The invocation goes on, if the runtime had accepted it."""


class HttpError(ClientError):
    """The runtime answered with an error.

    Attributes:
        status_code: HTTP status: the failure's own where the invocation failed, else the ingress's.
        message: What the runtime said, or the status in words.
        body: The response's body as text.
        metadata: What came with a handler's `TerminalError`; empty if nothing did.
        invocation_id: Which invocation failed, where the runtime tells.
        source: `invocation` where the handler failed, `ingress` where the runtime refused, `admin` where the API for
            operators did; None if it does not tell, as older servers and proxies do not.
        retry_after: How long the runtime asks to wait before another try; None if it says nothing.

    Source: Restate ingress, error responses.
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        body: str | None = None,
        metadata: dict[str, str] | None = None,
        *,
        invocation_id: str | None = None,
        source: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        """Keep what was answered."""
        super().__init__(message)
        self.status_code = status_code
        self.body = body
        self.metadata: dict[str, str] = metadata or {}
        self.invocation_id = invocation_id
        self.source = source
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Give status, message and what to do about it."""
        text = f"HTTP {self.status_code}: {self.message}"
        return f"{text} {self.hint}" if self.hint else text


class RestateClientSendHandle:
    """An invocation that was accepted.

    Attributes:
        invocation_id: To attach to it, ask for its output or cancel it.
        status_code: 200 for every accepted invocation, as in restate-sdk; the ingress itself says 202.
        is_new: False if the idempotency key (or the workflow's key) had started it before.
    """

    def __init__(self, invocation_id: str, status_code: int, is_new: bool = True) -> None:
        """Keep what was answered."""
        self.invocation_id = invocation_id
        self.status_code = status_code
        self.is_new = is_new

    def __repr__(self) -> str:
        return f"<RestateClientSendHandle {self.invocation_id}>"


@dataclass(frozen=True, slots=True)
class InvocationOutput(Generic[T]):
    """The output of an invocation as far as there is one.

    Attributes:
        is_ready: Whether the invocation is completed.
        value: Its result; None while it is not.
    """

    is_ready: bool
    value: T | None = None


@dataclass(frozen=True, slots=True)
class InvocationAnswer:
    """The result of an invocation, as bytes.

    Attributes:
        invocation_id: Which, where the runtime tells.
        body: What the handler returned.
    """

    invocation_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """The run of a workflow by its key."""

    workflow: str
    key: str


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """An invocation by the idempotency key that it was made with; `key` is None for a plain service."""

    service: str
    handler: str
    idempotency_key: str
    key: str | None = None


InvocationRef = str | WorkflowRun | IdempotentRequest
"""Which invocation: by its id, or by what made it."""


class RestateScopedClient(ABC):
    """Calls within a scope; `client.scope(…)` gives it. Needs protocol V7 on the runtime."""

    @abstractmethod
    async def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call a service's handler and wait for its result."""

    @abstractmethod
    async def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start a service's handler."""

    @abstractmethod
    async def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call an object's handler and wait for its result."""

    @abstractmethod
    async def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start an object's handler."""

    @abstractmethod
    async def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call a workflow's handler and wait for its result."""

    @abstractmethod
    async def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start a workflow's handler."""


class RestateClient(ABC):
    """Reaches handlers from outside of handlers. Every method raises `HttpError` when the runtime refuses.

    A call waits as long as the handler takes: there is no timeout unless the client was made with one.
    """

    @abstractmethod
    def scope(self, scope: str) -> RestateScopedClient:
        """Give a client whose calls carry `scope`: 1 to 36 of letters, digits, `_`, `.` and `-`."""

    @abstractmethod
    async def service_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call a service's handler and wait for its result."""

    @abstractmethod
    async def service_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start a service's handler, after `send_delay` if one is given."""

    @abstractmethod
    async def object_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call an object's handler and wait for its result."""

    @abstractmethod
    async def object_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start an object's handler, after `send_delay` if one is given."""

    @abstractmethod
    async def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> OutputT:
        """Call a workflow's handler and wait for its result."""

    @abstractmethod
    async def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> RestateClientSendHandle:
        """Start a workflow's handler, after `send_delay` if one is given."""

    @abstractmethod
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

    @abstractmethod
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
