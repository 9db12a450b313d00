"""The client for code that awaits, over HTTP.

Owns the sending over httpx's async client; requests and answers are `client.requests`' business, what can be asked
`client.durable`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from durably.authoring.codec import CodecSource, JournalValueCodec, JournalValueCodecProvider
from durably.client import relays, requests, transport
from durably.client.channels import Ending, Rejection, Resolution
from durably.client.durable import DurablyClient
from durably.client.interfaces import (
    ClientTimeoutError,
    HttpError,
    InvocationAnswer,
    InvocationRef,
    RestateClientSendHandle,
)
from durably.client.options import DEFAULT_OPTIONS, ClientOptions
from durably.client.requests import IngressRequest
from durably.client.retrying import Retries
from durably.client.targets import Call
from durably.errors import ClientError

if TYPE_CHECKING:
    import httpx

__all__ = ["Client", "HttpChannel", "create_client"]

T = TypeVar("T")


class Client(DurablyClient):
    """Reaches handlers through the ingress. `create_client` makes and closes one."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        headers: dict[str, str] | None = None,
        journal_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
        *,
        admin_url: str | None = None,
        timeout: timedelta | None = None,
        options: ClientOptions = DEFAULT_OPTIONS,
    ) -> None:
        """Send through `client`, whose base URL is the ingress.

        Args:
            client: Stays open when this is dropped.
            headers: Sent with every request.
            journal_codec: The codec of the endpoint.
            admin_url: Base URL of the admin API, for `cancel` and `kill`.
            timeout: Longest wait where a call gives none.
            options: Of which this needs those about retries.
        """
        self.client = client
        self.headers: dict[str, str] = headers or {}
        codec = CodecSource(journal_codec)
        super().__init__(HttpChannel(client, self.headers, codec, admin_url, timeout, options))


class HttpChannel:
    """Carries requests over HTTP; see `Channel`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        headers: Mapping[str, str],
        codec: CodecSource,
        admin_url: str | None,
        timeout: timedelta | None,
        options: ClientOptions,
    ) -> None:
        """Send through `client`; see `Client`."""
        self._client = client
        self._headers = headers
        self._codec = codec
        self._admin_url = admin_url
        self._timeout = timeout
        self._options = options

    async def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        request = requests.call_request(call.target, await self._encoded(call.body), call.content_type, call.headers)
        return await self._answer(request, timeout)

    async def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start, and wait until that is stored."""
        request = requests.call_request(
            call.target, await self._encoded(call.body), call.content_type, call.headers, send=True, delay=delay
        )
        return requests.send_handle((await self._respond(request, timeout)).content)

    async def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        return await self._answer(requests.result_request(invocation, "attach"), timeout)

    async def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        try:
            return await self._answer(requests.result_request(invocation, "output"), timeout)
        except HttpError as error:
            if requests.is_not_ready(error):
                return None
            raise

    async def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill, through the admin API."""
        request = requests.ending_request(invocation_id, how.value)
        await self._respond(request, timeout, transport.admin_base(self._admin_url, how.value))

    async def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        body = resolution.reason if isinstance(resolution, Rejection) else await self._encoded(resolution)
        await self._respond(requests.awakeable_request(awakeable_id, body), timeout)

    async def complete_signal(
        self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None
    ) -> None:
        """Send a signal, through the application's `signal_service`."""
        call = relays.signal_call(invocation_id, name, resolution)
        try:
            await self.invoke(call, timeout)
        except HttpError as error:
            raise relays.no_signals_error(error) from error

    async def _answer(self, request: IngressRequest, timeout: timedelta | None) -> InvocationAnswer:
        response = await self._respond(request, timeout)
        return requests.answer_of(await self._decoded(response.content), response.headers)

    async def _respond(
        self, request: IngressRequest, timeout: timedelta | None, admin_url: str | None = None
    ) -> httpx.Response:
        limit = self._timeout if timeout is None else timeout
        url = transport.absolute(admin_url, request.path)
        headers = requests.wire_headers(self._headers, request.headers)

        async def attempt() -> httpx.Response:
            with transport.translated_errors(admin_url or str(self._client.base_url)):
                response = await self._client.request(request.method, url, headers=headers, content=request.content)
            requests.raise_for_status(
                response.status_code,
                response.reason_phrase,
                response.content,
                response.headers,
                source=None if admin_url is None else "admin",
            )
            return response

        return await _within(limit, lambda: self._repeated(request, attempt))

    async def _repeated(self, request: IngressRequest, attempt: Callable[[], Awaitable[T]]) -> T:
        retries = Retries(self._options, is_safe=request.is_safe)
        while True:
            try:
                return await attempt()
            except ClientError as error:
                wait = retries.wait_after(error)
                if wait is None:
                    raise
            await asyncio.sleep(wait.total_seconds())

    async def _encoded(self, body: bytes) -> bytes:
        codec = await self._codec.get()
        return body if codec is None else codec.encode(body)

    async def _decoded(self, body: bytes) -> bytes:
        codec = await self._codec.get()
        return body if codec is None else await codec.decode(body)


async def _within(limit: timedelta | None, work: Callable[[], Awaitable[T]]) -> T:
    if limit is None:
        return await work()
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await work()
    except ClientTimeoutError:
        raise
    except TimeoutError as error:
        raise transport.timed_out(limit) from error


@asynccontextmanager
async def create_client(
    ingress: str | None = None,
    headers: dict[str, str] | None = None,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    admin_url: str | None = None,
    timeout: timedelta | None = None,
    options: ClientOptions = DEFAULT_OPTIONS,
) -> AsyncGenerator[Client]:
    """Open a client for the time of an `async with` block.

        async with create_client("http://localhost:8080") as client:
            receipt = await client.object_call(place, key="order-1", arg=order)

    Args:
        ingress: Base URL of the ingress.
        headers: Sent with every request, for example an authorization.
        journal_value_codec: The codec of the endpoint.
        admin_url: Base URL of the admin API; `cancel` and `kill` need it.
        timeout: Longest wait where a call gives none; None waits as long as the handler takes.
        options: Connections and retries.

    Raises:
        MissingExtraError: httpx is not installed.
        ConfigurationError: `ingress` or `admin_url` is no URL.
        UsageError: A header cannot be sent.
    """
    settings = transport.client_settings(ingress, None, options)
    transport.check_admin_url(admin_url)
    async with transport.httpx_module().AsyncClient(**settings) as client:
        yield Client(client, headers, journal_value_codec, admin_url=admin_url, timeout=timeout, options=options)
