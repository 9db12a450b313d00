"""The services that act for their caller: Proxy and TestUtilsService, with `async def` handlers.

Owns nothing; they have no state.
"""

from __future__ import annotations

from tests.conformance.services.contract import (
    ManyCallsRequest,
    ProxyRequest,
    SignalRejection,
    SignalResolution,
    delay_of,
    octets_of,
)
from tests.conformance.services.peer import restate

__all__ = ["services"]

proxy = restate.Service("Proxy")
test_utils = restate.Service("TestUtilsService")
services = (proxy, test_utils)


def _call(ctx: restate.Context, request: ProxyRequest) -> restate.RestateDurableCallFuture[bytes]:
    return ctx.generic_call(
        request["serviceName"],
        request["handlerName"],
        octets_of(request["message"]),
        key=request.get("virtualObjectKey"),
        idempotency_key=request.get("idempotencyKey"),
        scope=request.get("scope"),
        limit_key=request.get("limitKey"),
    )


def _send(ctx: restate.Context, request: ProxyRequest) -> restate.SendHandle:
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
async def call(ctx: restate.Context, request: ProxyRequest) -> list[int]:
    """Make a call and give the bytes of its result."""
    return list(await _call(ctx, request))


@proxy.handler("oneWayCall")
async def one_way_call(ctx: restate.Context, request: ProxyRequest) -> str:
    """Send and give the id of the invocation."""
    return await _send(ctx, request).invocation_id()


@proxy.handler("manyCalls")
async def many_calls(ctx: restate.Context, requests: list[ManyCallsRequest]) -> None:
    """Make calls in order; await each at once, at the end, or not at all."""
    open_calls: list[restate.RestateDurableCallFuture[bytes]] = []
    for request in requests:
        if request["oneWayCall"]:
            _send(ctx, request["proxyRequest"])
        elif request["awaitAtTheEnd"]:
            open_calls.append(_call(ctx, request["proxyRequest"]))
        else:
            await _call(ctx, request["proxyRequest"])
    for open_call in open_calls:
        await open_call


@test_utils.handler("echo")
async def echo(ctx: restate.Context, text: str) -> str:
    """Give back the text."""
    return text


@test_utils.handler("uppercaseEcho")
async def uppercase_echo(ctx: restate.Context, text: str) -> str:
    """Give back the text in upper case."""
    return text.upper()


@test_utils.handler("echoHeaders")
async def echo_headers(ctx: restate.Context) -> dict[str, str]:
    """Give the headers that the invocation was made with."""
    return dict(ctx.request().headers)


@test_utils.handler(
    "rawEcho",
    accept="*/*",
    content_type="application/octet-stream",
    input_serde=restate.serde.BytesSerde(),
    output_serde=restate.serde.BytesSerde(),
)
async def raw_echo(ctx: restate.Context, octets: bytes) -> bytes:
    """Give back the bytes, untouched."""
    return octets


@test_utils.handler("countExecutedSideEffects")
async def count_executed_side_effects(ctx: restate.Context, steps: int) -> int:
    """Run steps one after the other; give how many of them this very attempt executed."""
    executed = 0

    def execute() -> None:
        nonlocal executed
        executed += 1

    for _ in range(steps):
        await ctx.run_typed("count", execute)
    return executed


@test_utils.handler("cancelInvocation")
async def cancel_invocation(ctx: restate.Context, invocation_id: str) -> None:
    """Cancel another invocation."""
    ctx.cancel_invocation(invocation_id)


@test_utils.handler("resolveSignal")
async def resolve_signal(ctx: restate.Context, request: SignalResolution) -> None:
    """Send a signal with a value."""
    ctx.resolve_signal(request["invocationId"], request["signalName"], request["value"])


@test_utils.handler("rejectSignal")
async def reject_signal(ctx: restate.Context, request: SignalRejection) -> None:
    """Send a signal with a failure."""
    ctx.reject_signal(request["invocationId"], request["signalName"], request["reason"])
