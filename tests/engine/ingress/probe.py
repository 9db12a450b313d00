"""Services that the tests of the HTTP APIs call: one handler for each thing to see."""

from __future__ import annotations

from datetime import timedelta

from durably import (
    Context,
    ObjectContext,
    ObjectSharedContext,
    Service,
    VirtualObject,
    Workflow,
    WorkflowContext,
    WorkflowSharedContext,
)
from durably.exceptions import TerminalError
from durably.serde import BytesSerde

probe = Service("Probe", description="Answers", metadata={"owner": "tests"})
thing = VirtualObject("Thing")
flow = Workflow("Flow")
hidden = Service("Hidden", ingress_private=True)

SERVICES = [probe, thing, flow, hidden]


@probe.handler()
async def greet(ctx: Context, name: str) -> str:
    """Take JSON, give JSON."""
    return f"Hello {name}"


@probe.handler()
async def plain(ctx: Context) -> str:
    """Take nothing."""
    return "plain"


@probe.handler(input_serde=BytesSerde(), output_serde=BytesSerde(), accept="*/*", content_type="application/x-any")
async def echo(ctx: Context, body: bytes) -> bytes:
    """Take any bytes, give them back."""
    return body


@probe.handler()
async def headers(ctx: Context) -> dict[str, str]:
    """Give the headers that arrived."""
    return dict(ctx.request().headers)


@probe.handler()
async def fail(ctx: Context, code: int) -> str:
    """Fail for good."""
    raise TerminalError("boom", code, metadata={"why": "test"})


@probe.handler()
async def nothing(ctx: Context) -> None:
    """Give nothing."""


@probe.handler()
async def sleep(ctx: Context) -> str:
    """Take an hour."""
    await ctx.sleep(timedelta(hours=1))
    return "awake"


@probe.handler()
async def wait(ctx: Context) -> str:
    """Tell an awakeable's id through a recorded step, and await it."""
    identifier, promise = ctx.awakeable(type_hint=str)
    await ctx.run_typed("tell", lambda: identifier)
    return await promise


@thing.handler()
async def put(ctx: ObjectContext, value: int) -> int:
    """Keep a number."""
    ctx.set("value", value)
    return value


@thing.handler()
async def hold(ctx: ObjectContext) -> str:
    """Keep the lock for an hour."""
    await ctx.sleep(timedelta(hours=1))
    return "done"


@thing.handler(kind="shared")
async def key(ctx: ObjectSharedContext) -> str:
    """Give the key."""
    return ctx.key()


@flow.main()
async def run(ctx: WorkflowContext, text: str) -> str:
    """Run once per key."""
    return f"ran {text}"


@flow.handler()
async def peek(ctx: WorkflowSharedContext) -> str:
    """Look."""
    return "peeked"


@hidden.handler()
async def secret(ctx: Context) -> str:
    """Not for the ingress."""
    return "secret"
