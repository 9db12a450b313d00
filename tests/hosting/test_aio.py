"""The life of an attempt of an `async def` handler over ASGI: who reads, who sends, and what is left afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durably import Context
from durably.errors import RemoteProtocolError
from durably.hosting import aio
from tests.authoring.playing import app_of
from tests.runtime_model.asgi_stream import AsgiStream
from tests.runtime_model.runtime import Attempt, Runtime

second = timedelta(seconds=1)


def stream_of(handler: Any, **how: Any) -> AsgiStream:
    """Connect to an app that serves the handler."""
    return AsgiStream(Runtime(app_of(handler), "Played", "play", **how), Attempt(1), None)


def test_the_servers_cancellation_passes_through() -> None:
    """After the handler was unwound, also while it waits for something else or in a step."""
    unwound: list[str] = []

    async def act() -> None:
        await asyncio.Event().wait()

    async def durable(ctx: Context) -> None:
        await ctx.sleep(second)

    async def outside(ctx: Context) -> None:
        await asyncio.Event().wait()

    async def step(ctx: Context) -> None:
        await ctx.run_typed("step", act)

    async def beside(ctx: Context) -> None:
        await asyncio.gather(ctx.run_typed("step", act), ctx.sleep(second))

    async def main(handler: Any) -> None:
        async def handle(ctx: Context) -> None:
            try:
                await handler(ctx)
            finally:
                unwound.append(handler.__name__)

        stream = stream_of(handle)
        stream.runtime.complete_one = lambda: None  # type: ignore[method-assign] # nothing ever arrives
        serving = asyncio.ensure_future(stream.drive())
        await asyncio.sleep(0.02)
        app = next(task for task in asyncio.all_tasks() if "AsgiApp" in repr(task.get_coro()))
        app.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert app.cancelled()

    for handler in (durable, outside, step, beside):
        asyncio.run(main(handler))
    assert unwound == ["durable", "outside", "step", "beside"]


def test_a_request_that_never_ends_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the response is ended all the same."""
    monkeypatch.setattr(aio, "_DRAIN_LIMIT_S", 0.02)

    async def handle(ctx: Context) -> str:
        return "done"

    async def main() -> AsgiStream:
        stream = stream_of(handle)
        stream.feed_end = lambda: None  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            await stream.drive()
        return stream

    assert asyncio.run(main()).attempt.ending == "end"


def test_garbage_after_the_end_is_no_trouble() -> None:
    """What the runtime sends after the terminal message is read away."""

    async def handle(ctx: Context) -> str:
        return "done"

    async def main() -> AsgiStream:
        stream = stream_of(handle)
        feed_end = stream.feed_end

        def feed_garbage_and_end() -> None:
            stream.feed(b"\x7f\xff\x00\x00\x00\x00\x00\x00")
            feed_end()

        stream.feed_end = feed_garbage_and_end  # type: ignore[method-assign]
        await stream.drive()
        return stream

    assert asyncio.run(main()).attempt.ending == "end"


@pytest.mark.parametrize("several", [False, True], ids=["alone", "several"])
def test_output_goes_out_while_the_handler_waits_for_something_else(several: bool) -> None:
    """Commands do not wait for the handler's next durable wait."""
    journaled: list[list[str]] = []

    async def handle(ctx: Context) -> None:
        ctx.generic_send("A", "first", b"")
        if several:
            await asyncio.gather(asyncio.sleep(0.01), asyncio.sleep(0))
        else:
            await asyncio.sleep(0.01)
        journaled.append(list(runtime.commands))
        ctx.generic_send("A", "second", b"")
        await asyncio.sleep(0.01)
        journaled.append(list(runtime.commands))

    runtime = Runtime(app_of(handle), "Played", "play")
    asyncio.run(runtime.finish())
    assert journaled == [["INPUT", "ONE_WAY_CALL"], ["INPUT", "ONE_WAY_CALL", "ONE_WAY_CALL"]]


def test_a_server_that_fails_to_send_aside() -> None:
    """A send in the background that fails unwinds the handler."""
    unwound: list[str] = []

    async def handle(ctx: Context) -> None:
        ctx.generic_send("A", "first", b"")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            unwound.append("cancelled")
            raise

    async def main() -> None:
        stream = stream_of(handle)
        send = stream.send

        async def failing_send(event: dict[str, Any]) -> None:
            if event.get("body"):
                raise ConnectionResetError("gone")
            await send(event)

        stream.send = failing_send  # type: ignore[method-assign]
        await stream.drive()

    asyncio.run(main())
    assert unwound == ["cancelled"]


def test_servers_that_step_coroutines_themselves() -> None:
    """Without a task of asyncio's the attempt runs in one of its own."""

    async def handle(ctx: Context) -> str:
        await asyncio.gather(ctx.sleep(second), ctx.sleep(second))
        return "done"

    class OwnTask:
        """Looks like a running task, and is none."""

    async def main() -> AsgiStream:
        stream = stream_of(handle)
        original = asyncio.current_task
        calls = 0

        def current_task() -> Any:
            nonlocal calls
            calls += 1
            return OwnTask() if calls == 1 else original()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aio.asyncio, "current_task", current_task)
            await stream.drive()
        return stream

    assert asyncio.run(main()).runtime.result == "done"


def test_what_a_peer_sent_cannot_write_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A broken frame that arrives while the handler waits is one escaped, short line, however much text it brings."""

    class Broken:
        input_closed = False

        def data_to_send(self) -> bytes:
            return b""

        def receive_data(self, data: bytes) -> None:
            raise RemoteProtocolError("bad \r\n2026 ERROR forged \x1b[31m" + "x" * 10_000, code=571)

    async def main() -> None:
        events: asyncio.Queue[Any] = asyncio.Queue()
        events.put_nowait({"type": "http.request", "body": b"garbage", "more_body": True})
        machine: Any = Broken()
        channel = aio.AsgiChannel(machine, events.get, events.put, "/invoke/Greeter/greet")
        channel.read_ahead()
        async with asyncio.timeout(5):
            await channel.exchange()
        channel.close()

    with caplog.at_level("DEBUG"):
        asyncio.run(main())
    (line,) = [record.getMessage() for record in caplog.records if "broke the protocol" in record.getMessage()]
    assert "/invoke/Greeter/greet" in line
    assert line.isprintable()
    assert len(line) < 600
