"""What the servers of the acceptance tests serve: handlers that wait, act, fail and count, and a look at the process.

`app` is the ASGI application, `wsgi` the WSGI one. `GET /process` is answered beside the endpoint and tells what the
process holds, so that a test can see what a disconnect left behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import durably
from durably.serde import BytesSerde

PUBLIC_KEYS = [key for key in os.environ.get("PROBE_KEYS", "").split(",") if key]

probe = durably.Service("Probe")
plain = durably.Service("PlainProbe")


@dataclass
class Item:
    """A part of an order."""

    sku: str
    quantity: int


@dataclass
class Order:
    """A payload with something to get wrong."""

    customer: str
    items: list[Item]


@probe.handler()
async def place(ctx: durably.Context, order: Order) -> int:
    """Add up what was ordered."""
    return sum(item.quantity for item in order.items)


@probe.handler()
async def fails(ctx: durably.Context) -> None:
    """Fail as ordinary code does."""
    raise ValueError("the shelf is empty")


@probe.handler()
async def waits(ctx: durably.Context) -> str:
    """Wait for something that never comes."""
    _, promise = ctx.awakeable(type_hint=str)
    return await promise


@probe.handler()
async def acts(ctx: durably.Context) -> None:
    """Sit in a durable step."""
    await ctx.run_typed("act", asyncio.sleep, delay=3600)


@probe.handler(input_serde=BytesSerde(), output_serde=BytesSerde())
async def echo(ctx: durably.Context, body: bytes) -> bytes:
    """Give back what came."""
    return body


@probe.handler()
async def steps(ctx: durably.Context, count: int) -> int:
    """Add up the results of that many steps."""
    total = 0
    for index in range(count):
        total += await ctx.run_typed(f"step-{index}", lambda index=index: index)
    return total


@probe.handler()
async def naps(ctx: durably.Context) -> str:
    """Sleep durably, then answer."""
    await ctx.sleep(timedelta(hours=1))
    return "rested"


@plain.handler("waits")
def plain_waits(ctx: durably.SyncContext) -> str:
    """Wait, in a thread, for something that never comes."""
    _, promise = ctx.awakeable(type_hint=str)
    return promise.result()


@plain.handler("acts")
def plain_acts(ctx: durably.SyncContext) -> None:
    """Sit, in a thread, in a durable step that looks at nothing."""
    ctx.run_typed("act", lambda: time.sleep(seconds_of_patience()))


@plain.handler("place")
def plain_place(ctx: durably.SyncContext, order: Order) -> int:
    """Add up what was ordered."""
    return sum(item.quantity for item in order.items)


@plain.handler("fails")
def plain_fails(ctx: durably.SyncContext) -> None:
    """Fail as ordinary code does."""
    raise ValueError("the shelf is empty")


@plain.handler("steps")
def plain_steps(ctx: durably.SyncContext, count: int) -> int:
    """Add up the results of that many steps."""
    total = 0
    for index in range(count):
        total += ctx.run_typed(f"step-{index}", lambda index=index: index)
    return total


def seconds_of_patience() -> float:
    """How long a step in a thread blocks; nothing can interrupt it."""
    return float(os.environ.get("PROBE_PATIENCE", "0.5"))


endpoint_app = durably.app([probe, plain], identity_keys=PUBLIC_KEYS or None)
endpoint_wsgi = durably.wsgi_app([probe, plain], identity_keys=PUBLIC_KEYS or None)


def process_facts() -> dict[str, Any]:
    """Say what this process holds at the moment."""
    return {
        "pid": os.getpid(),
        "fds": len(os.listdir("/proc/self/fd")),
        "threads": [thread.name for thread in threading.enumerate()],
        "cpu_s": time.process_time(),
        "sigterm": repr(signal.getsignal(signal.SIGTERM)),
        "sigint": repr(signal.getsignal(signal.SIGINT)),
    }


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve the endpoint, and the process's facts beside it."""
    if scope["type"] != "http" or scope["path"] != "/process":
        await endpoint_app(scope, receive, send)
        return
    facts = {**process_facts(), "tasks": len(asyncio.all_tasks()), "open_attempts": endpoint_app.open_attempts}
    body = json.dumps(facts).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve the endpoint, and the process's facts beside it."""
    if environ["PATH_INFO"] != "/process":
        return endpoint_wsgi(environ, start_response)
    body = json.dumps(process_facts()).encode()
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(body)))])
    return [body]
