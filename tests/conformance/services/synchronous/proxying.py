"""The services that act for their caller: Proxy and TestUtilsService, with plain `def` handlers.

Owns nothing; they have no state.
"""

from __future__ import annotations

import durably
from durably.authoring.sync_contexts import SyncSendHandle
from tests.conformance.services.contract import (
    ManyCallsRequest,
    ProxyRequest,
    SignalRejection,
    SignalResolution,
    delay_of,
    octets_of,
)

__all__ = ["services"]

proxy = durably.Service("Proxy")
test_utils = durably.Service("TestUtilsService")
services = (proxy, test_utils)


def _call(ctx: durably.SyncContext, request: ProxyRequest) -> durably.RestateDurableCallFuture[bytes]:
    return ctx.start.generic_call(
        request["serviceName"],
        request["handlerName"],
        octets_of(request["message"]),
        key=request.get("virtualObjectKey"),
        idempotency_key=request.get("idempotencyKey"),
        scope=request.get("scope"),
        limit_key=request.get("limitKey"),
    )


def _send(ctx: durably.SyncContext, request: ProxyRequest) -> SyncSendHandle:
    return ctx.generic_send(
        request["serviceName"],
        request["handlerName"],
        octets_of(request["message"]),
        key=request.get("virtualObjectKey"),
        send_delay=delay_of(request),
        idempotency_key=request.get("idempotencyKey"),
        scope=request.get("scope"),
        limit_key=request.get("limitKey"),
    )


@proxy.handler("call")
def call(ctx: durably.SyncContext, request: ProxyRequest) -> list[int]:
    """Make a call and give the bytes of its result."""
    return list(_call(ctx, request).result())


@proxy.handler("oneWayCall")
def one_way_call(ctx: durably.SyncContext, request: ProxyRequest) -> str:
    """Send and give the id of the invocation."""
    return _send(ctx, request).invocation_id()


@proxy.handler("manyCalls")
def many_calls(ctx: durably.SyncContext, requests: list[ManyCallsRequest]) -> None:
    """Make calls in order; each at once, at the end, or not at all."""
    open_calls: list[durably.RestateDurableCallFuture[bytes]] = []
    for request in requests:
        if request["oneWayCall"]:
            _send(ctx, request["proxyRequest"])
        elif request["awaitAtTheEnd"]:
            open_calls.append(_call(ctx, request["proxyRequest"]))
        else:
            _call(ctx, request["proxyRequest"]).result()
    for open_call in open_calls:
        open_call.result()


@test_utils.handler("echo")
def echo(ctx: durably.SyncContext, text: str) -> str:
    """Give back the text."""
    return text


@test_utils.handler("uppercaseEcho")
def uppercase_echo(ctx: durably.SyncContext, text: str) -> str:
    """Give back the text in upper case."""
    return text.upper()


@test_utils.handler("echoHeaders")
def echo_headers(ctx: durably.SyncContext) -> dict[str, str]:
    """Give the headers that the invocation was made with."""
    return dict(ctx.request().headers)


@test_utils.handler(
    "rawEcho",
    accept="*/*",
    content_type="application/octet-stream",
    input_serde=durably.serde.BytesSerde(),
    output_serde=durably.serde.BytesSerde(),
)
def raw_echo(ctx: durably.SyncContext, octets: bytes) -> bytes:
    """Give back the bytes, untouched."""
    return octets


@test_utils.handler("countExecutedSideEffects")
def count_executed_side_effects(ctx: durably.SyncContext, steps: int) -> int:
    """Run steps one after the other; give how many of them this very attempt executed."""
    executed = 0

    def execute() -> None:
        nonlocal executed
        executed += 1

    for _ in range(steps):
        ctx.run_typed("count", execute)
    return executed


@test_utils.handler("cancelInvocation")
def cancel_invocation(ctx: durably.SyncContext, invocation_id: str) -> None:
    """Cancel another invocation."""
    ctx.cancel_invocation(invocation_id)


@test_utils.handler("resolveSignal")
def resolve_signal(ctx: durably.SyncContext, request: SignalResolution) -> None:
    """Send a signal with a value."""
    ctx.resolve_signal(request["invocationId"], request["signalName"], request["value"])


@test_utils.handler("rejectSignal")
def reject_signal(ctx: durably.SyncContext, request: SignalRejection) -> None:
    """Send a signal with a failure."""
    ctx.reject_signal(request["invocationId"], request["signalName"], request["reason"])
