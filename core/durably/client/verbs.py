"""The verbs of restate-sdk's client, awaited: one each for services, objects and workflows.

Owns nothing but their spelling; each is a `call` or a `send`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import TypeVar

from durably.authoring.calls import HandlerType
from durably.client.foreign import Foreign
from durably.client.interfaces import RestateClient, RestateClientSendHandle, RestateScopedClient

__all__ = ["ScopedClient", "Verbs"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class Verbs(RestateClient):
    """The six verbs, made of two."""

    @abstractmethod
    async def call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a handler of any kind and wait for its result."""

    @abstractmethod
    async def send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        scope: str | None = None,
        limit_key: str | None = None,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler of any kind, after `delay` if one is given."""

    async def service_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a service's handler and wait for its result."""
        return await self.call(tpe, arg, idempotency_key=idempotency_key, headers=headers, timeout=timeout)

    async def service_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a service's handler, after `send_delay` if one is given."""
        return await self.send(
            tpe, arg, delay=send_delay, idempotency_key=idempotency_key, headers=headers, timeout=timeout
        )

    async def object_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call an object's handler and wait for its result."""
        return await self.call(tpe, arg, key=key, idempotency_key=idempotency_key, headers=headers, timeout=timeout)

    async def object_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start an object's handler, after `send_delay` if one is given."""
        return await self.send(
            tpe, arg, key=key, delay=send_delay, idempotency_key=idempotency_key, headers=headers, timeout=timeout
        )

    async def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a workflow's handler and wait for its result."""
        return await self.call(tpe, arg, key=key, idempotency_key=idempotency_key, headers=headers, timeout=timeout)

    async def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a workflow's handler, after `send_delay` if one is given."""
        return await self.send(
            tpe, arg, key=key, delay=send_delay, idempotency_key=idempotency_key, headers=headers, timeout=timeout
        )


class ScopedClient(RestateScopedClient):
    """Calls within a scope, through the client that it came from."""

    def __init__(self, client: Verbs, scope_key: str) -> None:
        """Send through `client` with `scope_key`."""
        self.client = client
        self.scope_key = scope_key

    async def service_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a service's handler and wait for its result."""
        return await self.client.call(
            tpe,
            arg,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )

    async def service_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a service's handler, after `send_delay` if one is given."""
        return await self.client.send(
            tpe,
            arg,
            delay=send_delay,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )

    async def object_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call an object's handler and wait for its result."""
        return await self.client.call(
            tpe,
            arg,
            key=key,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )

    async def object_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start an object's handler, after `send_delay` if one is given."""
        return await self.client.send(
            tpe,
            arg,
            key=key,
            delay=send_delay,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )

    async def workflow_call(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> OutputT:
        """Call a workflow's handler and wait for its result."""
        return await self.client.call(
            tpe,
            arg,
            key=key,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )

    async def workflow_send(
        self,
        tpe: HandlerType[InputT, OutputT] | Foreign[InputT, OutputT],
        key: str,
        arg: InputT,
        send_delay: timedelta | None = None,
        limit_key: str | None = None,
        idempotency_key: str | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: timedelta | None = None,
    ) -> RestateClientSendHandle:
        """Start a workflow's handler, after `send_delay` if one is given."""
        return await self.client.send(
            tpe,
            arg,
            key=key,
            delay=send_delay,
            idempotency_key=idempotency_key,
            headers=headers,
            scope=self.scope_key,
            limit_key=limit_key,
            timeout=timeout,
        )
