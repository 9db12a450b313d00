"""The client for code that blocks.

Owns the sending over httpx's blocking client; requests and answers are `client.requests`' business.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from durably.authoring.calls import HandlerType
from durably.authoring.codec import CodecSource, JournalValueCodec, JournalValueCodecProvider, decode_blocking
from durably.client import requests, transport
from durably.client.blocking_verbs import BlockingScopedClient, BlockingVerbs
from durably.client.interfaces import (
    HttpError,
    InvocationAnswer,
    InvocationOutput,
    InvocationRef,
    RestateClientSendHandle,
)
from durably.client.requests import CallTarget, IngressRequest
from durably.serde import DEFAULT_SERDE, Serde, resolve_serde

if TYPE_CHECKING:
    import httpx

__all__ = ["BlockingClient", "create_client"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
Headers = Mapping[str, str] | None


class BlockingClient(BlockingVerbs):
    """Reaches handlers through the ingress. `create_client` makes and closes one."""

    def __init__(
        self,
        client: httpx.Client,
        headers: dict[str, str] | None = None,
        journal_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    ) -> None:
        """Send through `client`, whose base URL is the ingress.

        Args:
            client: Stays open when this is dropped.
            headers: Sent with every request.
            journal_codec: The codec of the endpoint.
        """
        self.client = client
        self.headers: dict[str, str] = headers or {}
        self._codec = CodecSource(journal_codec)

    def _exchange(self, request: IngressRequest) -> bytes:
        return self._respond(request).content

    def _respond(self, request: IngressRequest, timeout: timedelta | None = None) -> httpx.Response:
        limit = transport.read_limit(self.client.timeout, timeout)
        with transport.translated_errors(str(self.client.base_url), is_limited=timeout is not None):
            response = self.client.request(
                request.method,
                request.path,
                headers={**self.headers, **request.headers},
                content=request.content,
                timeout=limit,
            )
        requests.raise_for_status(response.status_code, response.reason_phrase, response.content, response.headers)
        return response

    def _encoded(self, body: bytes) -> bytes:
        codec = self._codec.get_blocking()
        return body if codec is None else codec.encode(body)

    def _decoded(self, body: bytes) -> bytes:
        codec = self._codec.get_blocking()
        return body if codec is None else decode_blocking(codec, body)

    def call(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> OutputT:
        """Call a handler of any kind and wait for its result.

        Args:
            tpe: The handler, as its decorator gave it back.
            arg: Its input.
            key: The object's or workflow's key.
            idempotency_key: Calls with the same key become one invocation.
            headers: Handed to the handler.
            scope: Scope of the invocation.
            limit_key: Limit key within the scope.

        Raises:
            HttpError: The handler failed for good, or the runtime refused.
            ClientError: The runtime could not be reached.
            UsageError: The function is no handler, or the key does not fit.
        """
        handler, target = requests.handler_target(tpe, key, idempotency_key, scope, limit_key)
        body, content_type = requests.typed_body(handler, arg)
        output = self._call(target, body, content_type, headers)
        result: Any = handler.output_serde.deserialize(output)
        return result  # type: ignore[no-any-return]

    def send(
        self,
        tpe: HandlerType[InputT, OutputT],
        arg: InputT | None = None,
        *,
        key: str | None = None,
        delay: timedelta | None = None,
        idempotency_key: str | None = None,
        headers: Headers = None,
        scope: str | None = None,
        limit_key: str | None = None,
    ) -> RestateClientSendHandle:
        """Start a handler of any kind, after `delay` if one is given; see `call`."""
        handler, target = requests.handler_target(tpe, key, idempotency_key, scope, limit_key)
        body, content_type = requests.typed_body(handler, arg)
        return self._send(target, body, content_type, headers, delay)

    def _call(self, target: CallTarget, body: bytes, content_type: str | None, headers: Headers) -> bytes:
        request = requests.call_request(target, self._encoded(body), content_type, headers)
        output = self._exchange(request)
        return self._decoded(output)

    def _send(
        self, target: CallTarget, body: bytes, content_type: str | None, headers: Headers, delay: timedelta | None
    ) -> RestateClientSendHandle:
        encoded = self._encoded(body)
        request = requests.call_request(target, encoded, content_type, headers, send=True, delay=delay)
        return requests.send_handle(self._exchange(request))

    def scope(self, scope: str) -> BlockingScopedClient:
        """Give a client whose calls carry `scope`."""
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
    ) -> bytes:
        """Call a handler by its names, with bytes in and bytes out; JSON, unless `headers` name a content type."""
        target = CallTarget(
            service=service,
            handler=handler,
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
        )
        return self._call(target, arg, requests.raw_content_type(arg), headers)

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
    ) -> RestateClientSendHandle:
        """Start a handler by its names, with bytes: JSON, unless `headers` name a content type."""
        target = CallTarget(
            service=service,
            handler=handler,
            key=key,
            idempotency_key=idempotency_key,
            scope=scope,
            limit_key=limit_key,
        )
        return self._send(target, arg, requests.raw_content_type(arg), headers, send_delay)

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
        target = CallTarget(service=service, handler=handler, key=key, idempotency_key=idempotency_key)
        request = requests.call_request(target, self._encoded(arg), requests.raw_content_type(arg), headers)
        return self._answer(request)

    def generic_attach(self, invocation: InvocationRef, *, timeout: timedelta | None = None) -> InvocationAnswer:
        """Wait for the result of an invocation that was started before, as bytes.

        Args:
            invocation: Which.
            timeout: Longest wait; None waits as long as the handler takes.

        Raises:
            HttpError: It failed for good, or is not known (404).
            TimeoutError: It is not completed yet.
        """
        return self._answer(requests.result_request(invocation, "attach"), timeout)

    def generic_output(self, invocation: InvocationRef) -> InvocationAnswer | None:
        """Give the result of an invocation that was started before, as bytes; None while it is not completed.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        try:
            return self._answer(requests.result_request(invocation, "output"))
        except HttpError as error:
            if error.status_code == requests.OUTPUT_NOT_READY:
                return None
            raise

    def _answer(self, request: IngressRequest, timeout: timedelta | None = None) -> InvocationAnswer:
        response = self._respond(request, timeout)
        answer = requests.answer_of(response.content, response.headers)
        return replace(answer, body=self._decoded(answer.body))

    def attach(self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None) -> Any:
        """Wait for the result of an invocation that was started before.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        output = self._exchange(requests.invocation_request(invocation_id, "attach"))
        return resolve_serde(serde, type_hint).deserialize(self._decoded(output))

    def output(
        self, invocation_id: str, serde: Serde[Any] = DEFAULT_SERDE, type_hint: Any = None
    ) -> InvocationOutput[Any]:
        """Look whether an invocation is completed, without waiting.

        Raises:
            HttpError: It failed for good, or is not known (404).
        """
        request = requests.invocation_request(invocation_id, "output")
        return self._output(request, resolve_serde(serde, type_hint))

    def workflow_attach(self, tpe: HandlerType[Any, OutputT], key: str) -> OutputT:
        """Wait for the result of a workflow's run; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        handler, target = requests.handler_target(tpe, key)
        output = self._exchange(requests.workflow_request(target.service, key, "attach"))
        result: Any = handler.output_serde.deserialize(self._decoded(output))
        return result  # type: ignore[no-any-return]

    def workflow_output(self, tpe: HandlerType[Any, OutputT], key: str) -> InvocationOutput[OutputT]:
        """Look whether a workflow's run is completed, without waiting; `tpe` is its main handler.

        Raises:
            HttpError: The run failed for good, or there is none for this key (404).
        """
        handler, target = requests.handler_target(tpe, key)
        return self._output(requests.workflow_request(target.service, key, "output"), handler.output_serde)

    def _output(self, request: IngressRequest, serde: Serde[Any]) -> InvocationOutput[Any]:
        try:
            output = self._exchange(request)
        except HttpError as error:
            if error.status_code == requests.OUTPUT_NOT_READY:
                return InvocationOutput(is_ready=False)
            raise
        return InvocationOutput(is_ready=True, value=serde.deserialize(self._decoded(output)))

    def resolve_awakeable(self, awakeable_id: str, value: Any, serde: Serde[Any] = DEFAULT_SERDE) -> None:
        """Complete an awakeable with a value; nothing happens if it is completed already."""
        body = self._encoded(resolve_serde(serde).serialize(value))
        self._exchange(requests.awakeable_request(awakeable_id, "resolve", body, "application/json"))

    def reject_awakeable(self, awakeable_id: str, reason: str) -> None:
        """Complete an awakeable with a failure, whose status is 500; nothing happens if it is completed already."""
        request = requests.awakeable_request(awakeable_id, "reject", reason.encode(), "text/plain")
        self._exchange(request)


@contextmanager
def create_client(
    ingress: str | None = None,
    headers: dict[str, str] | None = None,
    journal_value_codec: JournalValueCodec | JournalValueCodecProvider | None = None,
    *,
    timeout: timedelta | None = None,
) -> Generator[BlockingClient]:
    """Open a client for the time of a `with` block.

        with create_client("http://localhost:8080") as client:
            receipt = client.object_call(place, key="order-1", arg=order)

    Args:
        ingress: Base URL of the ingress.
        headers: Sent with every request, for example an authorization.
        journal_value_codec: The codec of the endpoint.
        timeout: Longest wait for an answer; None waits as long as the handler takes.

    Raises:
        MissingExtraError: httpx is not installed.
        ConfigurationError: `ingress` is no URL.
    """
    settings = transport.client_settings(ingress, timeout)
    with transport.httpx_module().Client(**settings) as client:
        yield BlockingClient(client, headers, journal_value_codec)
