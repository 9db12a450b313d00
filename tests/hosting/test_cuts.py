"""Connections cut at every byte offset, in both directions, in process."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durably.hosting.asgi import AsgiApp
from tests.hosting.asgi_client import Exchange, http_scope
from tests.hosting.greeter import Greeter
from tests.hosting.runtime import StepRuntime

STEPS = 3
EXPECTED = b"3"  # 0 + 1 + 2


class Cut:
    """Where one attempt is cut; None is nowhere. Counts the bytes that went through meanwhile."""

    def __init__(self, sent_limit: int | None = None, received_limit: int | None = None, *, half: bool = False) -> None:
        self.sent_limit = sent_limit
        self.received_limit = received_limit
        self.half = half
        self.sent = 0
        self.received = 0


async def run_attempt(app: AsgiApp, path: str, runtime: StepRuntime, cut: Cut) -> None:
    """Play one attempt up to its end or its cut. A half cut ends the request in an orderly way instead."""
    exchange = Exchange(app, http_scope(path=path))
    to_send = runtime.open_attempt()
    while True:
        room = len(to_send) if cut.sent_limit is None else cut.sent_limit - cut.sent
        exchange.feed(to_send[:room])
        cut.sent += len(to_send[:room])
        if room < len(to_send) or (cut.sent_limit is not None and cut.sent == cut.sent_limit):
            break
        await exchange.until(lambda: len(exchange.body) > cut.received or exchange.task.done())
        data = exchange.body[cut.received : cut.received_limit]
        cut.received += len(data)
        to_send = runtime.receive(data)
        if runtime.is_over or cut.received == cut.received_limit:
            break
    if runtime.is_over or cut.half:
        exchange.end()
    else:
        exchange.disconnect()
    await exchange.finished()
    if cut.half and not runtime.is_over:
        runtime.receive(exchange.body[cut.received :])
        assert runtime.is_over, "the attempt ended without a last message"


async def finish(app: AsgiApp, path: str, runtime: StepRuntime) -> None:
    """Call again, undisturbed, until there is a result."""
    for _ in range(STEPS + 2):
        if runtime.result is not None:
            return
        await run_attempt(app, path, runtime, Cut())


async def extent(app: AsgiApp, path: str) -> Cut:
    """Measure an undisturbed attempt."""
    cut = Cut()
    runtime = StepRuntime(b"%d" % STEPS)
    await run_attempt(app, path, runtime, cut)
    assert runtime.result == EXPECTED
    return cut


@pytest.mark.parametrize("service", ["Greeter", "Plain"])
@pytest.mark.parametrize("fate", ["request cut", "request ended", "response cut"])
async def test_every_offset(service: str, fate: str, caplog: pytest.LogCaptureFixture):
    """After a cut at any byte the retry gives the right result, and nothing is logged or left running."""
    caplog.set_level(logging.ERROR)
    app = AsgiApp(Greeter().endpoint())
    path = f"/invoke/{service}/steps"
    whole = await extent(app, path)
    tasks = asyncio.all_tasks()
    offsets = range(whole.received if fate == "response cut" else whole.sent)
    for offset in offsets:
        cut = Cut(received_limit=offset) if fate == "response cut" else Cut(offset, half=fate == "request ended")
        if offset == 0 and fate == "response cut":
            continue  # nothing was read: the same as a cut request
        runtime = StepRuntime(b"%d" % STEPS)
        await run_attempt(app, path, runtime, cut)
        await finish(app, path, runtime)
        assert runtime.result == EXPECTED, f"offset {offset}"
    assert app.open_attempts == 0
    assert asyncio.all_tasks() == tasks
    assert caplog.records == []
    print(f"{service}, {fate}: {len(offsets)} offsets, 0 wrong")
