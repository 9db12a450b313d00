"""The client for code that blocks, over HTTP.

Owns the sending over httpx's blocking client; requests and answers are `client.requests`' business, what can be asked
`client.blocking_durable`'s.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from durably.authoring.codec import CodecSource, JournalValueCodec, JournalValueCodecProvider, decode_blocking
from durably.client import relays, requests, transport
from durably.client.blocking_durable import BlockingDurablyClient
from durably.client.channels import Ending, Rejection, Resolution
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

__all__ = ["BlockingClient", "BlockingHttpChannel", "create_client"]


class BlockingClient(BlockingDurablyClient):
    """Reaches handlers through the ingress. `create_client` makes and closes one."""

    def __init__(
        self,
        client: httpx.Client,
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
        super().__init__(BlockingHttpChannel(client, self.headers, codec, admin_url, timeout, options))


class BlockingHttpChannel:
    """Carries requests over HTTP; see `BlockingChannel`."""

    def __init__(
        self,
        client: httpx.Client,
        headers: Mapping[str, str],
        codec: CodecSource,
        admin_url: str | None,
        timeout: timedelta | None,
        options: ClientOptions,
    ) -> None:
        """Send through `client`; see `BlockingClient`."""
        self._client = client
        self._headers = headers
        self._codec = codec
        self._admin_url = admin_url
        self._timeout = timeout
        self._options = options

    def invoke(self, call: Call, timeout: timedelta | None) -> InvocationAnswer:
        """Call and wait for the result."""
        request = requests.call_request(call.target, self._encoded(call.body), call.content_type, call.headers)
        return self._answer(request, timeout)

    def send(self, call: Call, delay: timedelta | None, timeout: timedelta | None) -> RestateClientSendHandle:
        """Start, and wait until that is stored."""
        request = requests.call_request(
            call.target, self._encoded(call.body), call.content_type, call.headers, send=True, delay=delay
        )
        return requests.send_handle((self._respond(request, timeout)).content)

    def attach(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer:
        """Wait for a result."""
        return self._answer(requests.result_request(invocation, "attach"), timeout)

    def output(self, invocation: InvocationRef, timeout: timedelta | None) -> InvocationAnswer | None:
        """Look for a result; None while there is none."""
        try:
            return self._answer(requests.result_request(invocation, "output"), timeout)
        except HttpError as error:
            if requests.is_not_ready(error):
                return None
            raise

    def end(self, invocation_id: str, how: Ending, timeout: timedelta | None) -> None:
        """Cancel or kill, through the admin API."""
        request = requests.ending_request(invocation_id, how.value)
        self._respond(request, timeout, transport.admin_base(self._admin_url, how.value))

    def complete_awakeable(self, awakeable_id: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Complete an awakeable."""
        body = resolution.reason if isinstance(resolution, Rejection) else self._encoded(resolution)
        self._respond(requests.awakeable_request(awakeable_id, body), timeout)

    def complete_signal(self, invocation_id: str, name: str, resolution: Resolution, timeout: timedelta | None) -> None:
        """Send a signal, through the application's `signal_service`."""
        call = relays.signal_call(invocation_id, name, resolution)
        try:
            self.invoke(call, timeout)
        except HttpError as error:
            raise relays.no_signals_error(error) from error

    def _answer(self, request: IngressRequest, timeout: timedelta | None) -> InvocationAnswer:
        response = self._respond(request, timeout)
        return requests.answer_of(self._decoded(response.content), response.headers)

    def _respond(self, request: IngressRequest, timeout: timedelta | None, admin_url: str | None = None) -> _Answer:
        limit = self._timeout if timeout is None else timeout
        url = transport.absolute(admin_url, request.path)
        headers = requests.wire_headers(self._headers, request.headers)
        deadline = _Deadline(limit)
        retries = Retries(self._options, is_safe=request.is_safe)
        while True:
            try:
                with transport.translated_errors(admin_url or str(self._client.base_url)):
                    answer = self._fetch(request, url, headers, deadline)
                requests.raise_for_status(
                    answer.status, answer.reason, answer.content, answer.headers, source="admin" if admin_url else None
                )
            except ClientTimeoutError as error:
                raise error if limit is None else transport.timed_out(limit) from error
            except ClientError as error:
                wait = retries.wait_after(error)
                if wait is None:
                    raise
                deadline.sleep(wait)
            else:
                return answer

    def _fetch(
        self, request: IngressRequest, url: str, headers: list[tuple[bytes, bytes]], deadline: _Deadline
    ) -> _Answer:
        client, left = self._client, deadline.left()
        if left is None:
            whole = client.request(request.method, url, headers=headers, content=request.content)
            return _Answer(whole.status_code, whole.reason_phrase, whole.content, whole.headers)
        # httpx bounds each step of an exchange; here the whole of it is bounded.
        with client.stream(request.method, url, headers=headers, content=request.content, timeout=left) as response:
            chunks: list[bytes] = []
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                deadline.left()
            return _Answer(response.status_code, response.reason_phrase, b"".join(chunks), response.headers)

    def _encoded(self, body: bytes) -> bytes:
        codec = self._codec.get_blocking()
        return body if codec is None else codec.encode(body)

    def _decoded(self, body: bytes) -> bytes:
        codec = self._codec.get_blocking()
        return body if codec is None else decode_blocking(codec, body)


class _Answer(NamedTuple):
    status: int
    reason: str
    content: bytes
    headers: Mapping[str, str]


class _Deadline:
    """When a wait is over; never, without a limit."""

    def __init__(self, limit: timedelta | None) -> None:
        self._limit = limit
        self._end = 0.0 if limit is None else time.monotonic() + limit.total_seconds()

    def left(self) -> float | None:
        """Give the seconds that are left, None for any number.

        Raises:
            ClientTimeoutError: None is left.
        """
        if self._limit is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise transport.timed_out(self._limit)
        return left

    def sleep(self, wait: timedelta) -> None:
        """Wait, but not beyond the end.

        Raises:
            ClientTimeoutError: The end came first.
        """
        left = self.left()
        time.sleep(wait.total_seconds() if left is None else min(wait.total_seconds(), left))
        self.left()


@contextmanager
def create_client(
    ingress: str | None = None,
    headers: dict[str, str] | None = None,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    admin_url: str | None = None,
    timeout: timedelta | None = None,
    options: ClientOptions = DEFAULT_OPTIONS,
) -> Generator[BlockingClient]:
    """Open a client for the time of an `with` block.

        with create_client("http://localhost:8080") as client:
            receipt = client.object_call(place, key="order-1", arg=order)

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
    with transport.httpx_module().Client(**settings) as client:
        yield BlockingClient(
            client, headers, journal_value_codec, admin_url=admin_url, timeout=timeout, options=options
        )
