"""Connections that fail or are lost while a handler with one task waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, race
from tests.authoring.playing import app_of
from tests.runtime_model.asgi_stream import AsgiStream
from tests.runtime_model.runtime import Attempt, Runtime

second = timedelta(seconds=1)


# The connection


class Broken(AsgiStream):
    """A connection whose `send` fails, or is never done."""

    def __init__(self, runtime: Runtime, how: str) -> None:
        """Fail so."""
        super().__init__(runtime, Attempt(1), None)
        self.how = how

    async def send(self, event: dict[str, Any]) -> None:
        """Be a `send` that fails with the first command."""
        if not event.get("body"):
            return
        if self.how == "fails":
            raise ConnectionResetError("gone")
        await asyncio.Event().wait()


def swallowing(log: list[str], wait: Callable[[Context], Any]) -> Callable[..., Any]:
    """Give a handler that swallows whatever unwinds it, and goes on."""

    async def handle(ctx: Context) -> None:
        async def act() -> None:
            log.append("executed")

        try:
            await wait(ctx)
        except BaseException as error:
            log.append(type(error).__name__)
        for _ in range(2):
            try:
                await ctx.run_typed("step", act)
            except BaseException as error:
                log.append(type(error).__name__)

    return handle


async def timer(ctx: Context) -> None:
    """Wait for one future."""
    await ctx.sleep(second)


async def combined(ctx: Context) -> None:
    """Wait for a combined future."""
    await race(ctx.sleep(second), ctx.sleep(second))


async def limited(ctx: Context) -> None:
    """Wait for a short time."""
    async with asyncio.timeout(0.01):
        await ctx.sleep(second)


@pytest.mark.parametrize("wait", [timer, combined], ids=lambda wait: wait.__name__)
def test_a_failing_connection_unwinds_the_handler(wait: Callable[[Context], Any]) -> None:
    """It is no OSError to the handler; one that swallows the signal gets nothing executed any more."""
    log: list[str] = []
    app = app_of(swallowing(log, wait))
    asyncio.run(Broken(Runtime(app, "Played", "play"), "fails").drive())
    assert log == ["Disconnected", "SdkInternalException", "SdkInternalException"]


@pytest.mark.parametrize("wait", [timer, combined], ids=lambda wait: wait.__name__)
def test_a_lost_connection_unwinds_the_handler(wait: Callable[[Context], Any]) -> None:
    """The same when the runtime goes away while the handler waits."""
    log: list[str] = []
    runtime = Runtime(app_of(swallowing(log, wait)), "Played", "play")
    asyncio.run(runtime.attempt(cut=2))
    assert log == ["Disconnected", "SdkInternalException", "SdkInternalException"]


def test_output_that_may_be_half_sent_ends_the_attempt() -> None:
    """A time limit that interrupts a send under back-pressure: nothing more goes out on this connection."""
    log: list[str] = []
    app = app_of(swallowing(log, limited))
    stream = Broken(Runtime(app, "Played", "play"), "never done")
    asyncio.run(stream.drive())
    assert log == ["TimeoutError", "SdkInternalException", "SdkInternalException"]


def test_a_lost_connection_interrupts_other_waits() -> None:
    """A handler that waits for something else is cancelled, and its finally blocks run."""
    log: list[str] = []

    async def handle(ctx: Context) -> None:
        ctx.sleep(second)
        try:
            await asyncio.Event().wait()
        finally:
            log.append("unwound")
            with pytest.raises(BaseException, match="attempt failed"):
                ctx.sleep(second)
            log.append("refused")

    runtime = Runtime(app_of(handle), "Played", "play")
    asyncio.run(runtime.attempt(cut=2))
    assert log == ["unwound", "refused"]


def test_garbage_from_the_runtime_interrupts_other_waits() -> None:
    """The handler is unwound and the attempt ends with an Error."""

    async def handle(ctx: Context) -> None:
        await asyncio.Event().wait()

    async def main() -> Attempt:
        runtime = Runtime(app_of(handle), "Played", "play")
        stream = AsgiStream(runtime, Attempt(1), None)
        stream.feed(b"\x7f\xff\x00\x00\x00\x00\x00\x00")
        await stream.drive()
        return stream.attempt

    attempt = asyncio.run(main())
    assert attempt.ending == "error"
    assert attempt.error.code in (500, 571)


@pytest.mark.parametrize("wait", [timer, combined], ids=lambda wait: wait.__name__)
def test_garbage_from_the_runtime_unwinds_a_durable_wait(wait: Callable[[Context], Any]) -> None:
    """It is no Exception to the handler, whose `except Exception` is for its own errors."""
    log: list[str] = []

    async def main() -> Attempt:
        stream = AsgiStream(Runtime(app_of(swallowing(log, wait)), "Played", "play"), Attempt(1), None)
        stream.feed(b"\x7f\xff\x00\x00\x00\x00\x00\x00")
        await stream.drive()
        return stream.attempt

    attempt = asyncio.run(main())
    assert attempt.ending == "error"
    assert log == ["SdkInternalException"] * 3
