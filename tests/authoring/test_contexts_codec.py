"""The journal value codec, with codecs that wait for something and codecs that do not, in every setting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, JournalValueCodec, ObjectContext, WorkflowContext
from durably.authoring.endpoint import Endpoint
from durably.authoring.sync_contexts import SyncContext, SyncObjectContext, SyncWorkflowContext
from durably.protocol import messages as wire
from durably.protocol.messages import MessageType
from tests.authoring.playing import ASYNC, SYNC, Play, run_once
from tests.runtime_model.runtime import Runtime


class Reversing(JournalValueCodec):
    """Turns bytes around; decoding completes at once."""

    def encode(self, buf: bytes) -> bytes:
        """Turn around, and mark."""
        return b"!" + buf[::-1]

    async def decode(self, buf: bytes) -> bytes:
        """Undo that."""
        assert buf[:1] == b"!", buf
        return buf[:0:-1]


class Slow(Reversing):
    """Gives up the event loop while it decodes."""

    async def decode(self, buf: bytes) -> bytes:
        """Undo, after a while."""
        for _ in range(12):  # longer than all tasks have to look blocked
            await asyncio.sleep(0)
        return await super().decode(buf)


CODECS = [Reversing(), Slow()]
codecs = pytest.mark.parametrize("codec", CODECS, ids=["at once", "waiting"])


def using(codec: JournalValueCodec) -> Callable[[Endpoint], Any]:
    """Configure an endpoint with the codec."""
    return lambda endpoint: endpoint.set_journal_value_codec(codec)


def encoded(value: bytes) -> bytes:
    """Encode."""
    return CODECS[0].encode(value)


def read(played: Runtime) -> Any:
    """Give the decoded output."""
    assert played.output is not None
    return asyncio.run(CODECS[0].decode(played.output))


@codecs
def test_all_values_pass_through_the_codec(play: Play, codec: JournalValueCodec) -> None:
    """Input, output, steps, calls, awakeables and signals are encoded in the journal, and plain in the handler."""

    async def double(number: int) -> int:
        return number * 2

    async def handle(ctx: Context, number: int) -> Any:
        doubled = await ctx.run_typed("double", double, number=number)
        echoed = await ctx.generic_call("Any", "echo", b"echo")
        awakeable_id, future = ctx.awakeable(type_hint=str)
        ctx.resolve_awakeable(awakeable_id, "awake")
        ctx.resolve_signal("inv_1other", "name", "signal")
        await ctx.sleep(timedelta(seconds=1))
        return [doubled, echoed.decode(), await future]

    def double_sync(number: int) -> int:
        return number * 2

    def handle_sync(ctx: SyncContext, number: int) -> Any:
        doubled = ctx.run_typed("double", double_sync, number=number)
        echoed = ctx.generic_call("Any", "echo", b"echo")
        awakeable_id, future = ctx.awakeable(type_hint=str)
        ctx.resolve_awakeable(awakeable_id, "awake")
        ctx.resolve_signal("inv_1other", "name", "signal")
        ctx.sleep(timedelta(seconds=1))
        return [doubled, echoed.decode(), future.result()]

    played = play(handle, handle_sync, body=encoded(b"21"), configure=using(codec))
    assert read(played) == b'[42,"echo","awake"]'
    assert played.calls[0][2] == encoded(b"echo")
    assert played.signals[0].value.content == encoded(b'"signal"')
    step = next(entry for kind, entry in played.journal if kind == MessageType.RUN_COMPLETION)
    assert wire.Notification.FromString(step).value.content == encoded(b"42")


@codecs
def test_state_and_promises_pass_through_the_codec(play: Play, codec: JournalValueCodec) -> None:
    """They are stored encoded."""

    async def handle(ctx: WorkflowContext) -> Any:
        before = await ctx.get("there", type_hint=int)
        ctx.set("new", "value")
        await ctx.promise("done").resolve(7)
        return [before, await ctx.get("new"), await ctx.promise("done", type_hint=int), await ctx.state_keys()]

    def handle_sync(ctx: SyncWorkflowContext) -> Any:
        before = ctx.get("there", type_hint=int)
        ctx.set("new", "value")
        ctx.promise("done").resolve(7)
        return [before, ctx.get("new"), ctx.promise("done", type_hint=int).value(), ctx.state_keys()]

    state = {"there": encoded(b"1")}
    played = play(handle, handle_sync, kind="workflow", state=state, configure=using(codec))
    assert read(played) == b'[1,"value",7,["new","there"]]'
    assert played.promises == {"done": encoded(b"7")}
    assert played.state == {"there": encoded(b"1"), "new": encoded(b'"value"')}


@codecs
def test_combined_futures_wait_for_the_codec(play: Play, codec: JournalValueCodec) -> None:
    """Combinators see decoded values, and futures are done only once their values are decoded."""

    async def handle(ctx: Context) -> Any:
        first = ctx.generic_call("Any", "echo", b"1")
        second = ctx.generic_call("Any", "echo", b"2")
        both = await durably.all_of(first.map(bytes.decode), second.map(bytes.decode))
        assert first.done()
        assert second.done()
        third = ctx.generic_call("Any", "echo", b"3").or_timeout(timedelta(days=1))
        name, value = await durably.select(third=third)
        return [*both, name, value.decode()]

    def handle_sync(ctx: SyncContext) -> Any:
        first = ctx.start.generic_call("Any", "echo", b"1")
        second = ctx.start.generic_call("Any", "echo", b"2")
        both = durably.sync.all_of(first.map(bytes.decode), second.map(bytes.decode))
        assert first.done()
        assert second.done()
        third = ctx.start.generic_call("Any", "echo", b"3").or_timeout(timedelta(days=1))
        name, value = durably.sync.select(third=third)
        return [*both, name, value.decode()]

    played = play(handle, handle_sync, configure=using(codec))
    assert read(played) == b'["1","2","third","3"]'


@pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
@codecs
def test_tasks_wait_for_the_codec(play: Play, codec: JournalValueCodec) -> None:
    """With several tasks nothing is delivered, and nothing suspends, while a value is being decoded."""

    async def handle(ctx: Context) -> Any:
        log: list[str] = []

        async def worker(name: str) -> None:
            for number in range(2):
                value = await ctx.generic_call("Any", "echo", f"{name}{number}".encode())
                log.append(value.decode())

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(worker(name))
        return log

    played = play(handle, configure=using(codec))
    assert read(played) == b'["a0","b0","c0","a1","b1","c1"]'


@pytest.mark.parametrize("play", [*ASYNC[:1], *SYNC[:1]], indirect=True, ids=str)
def test_a_value_that_cannot_be_decoded_fails_the_attempt(play: Play) -> None:
    """The error of the codec is raised where the value was waited for; the runtime retries."""
    broken = 1

    class Broken(Slow):
        async def decode(self, buf: bytes) -> bytes:
            nonlocal broken
            if buf == encoded(b"x") and broken:
                broken -= 1
                raise LookupError("no key")
            return await super().decode(buf)

    async def handle(ctx: Context) -> str:
        results = await asyncio.gather(ctx.generic_call("Any", "echo", b"x"), ctx.sleep(timedelta(seconds=1)))
        return results[0].decode()

    def handle_sync(ctx: SyncContext) -> str:
        return ctx.generic_call("Any", "echo", b"x").decode()

    played = play(handle, handle_sync, configure=using(Broken()), fails=True, cuts=False)
    assert [error.message for error in played.errors] == ["LookupError: no key"]
    assert read(played) == b'"x"'


def test_state_of_objects_is_seen_at_once_with_a_codec() -> None:
    """Eager state, which no notification brings, is decoded as well, in one task and in several."""

    async def handle(ctx: ObjectContext) -> Any:
        one = await ctx.get("one")
        return [one, *await asyncio.gather(ctx.get("one"), ctx.get("two"), ctx.get("three"))]

    def handle_sync(ctx: SyncObjectContext) -> Any:
        return [ctx.get("one"), ctx.get("one"), ctx.get("two"), ctx.get("three")]

    for handler in (handle, handle_sync):
        state = {"one": encoded(b"1"), "two": encoded(b"2")}
        played = run_once(handler, kind="object", key="k", state=state, configure=using(Slow()))
        assert read(played) == b"[1,1,2,null]"


def test_a_wait_that_is_cancelled_while_decoding_can_be_repeated() -> None:
    """A time limit of asyncio that fires while a value is decoded loses nothing."""

    class Stuck(Reversing):
        stuck = True

        async def decode(self, buf: bytes) -> bytes:
            if buf == encoded(b"x") and self.stuck:
                self.stuck = False
                await asyncio.Event().wait()
            return await super().decode(buf)

    async def handle(ctx: Context) -> str:
        call = ctx.generic_call("Any", "echo", b"x")
        try:
            async with asyncio.timeout(0.02):
                await call
        except TimeoutError:
            return "late " + (await call).decode()
        return "never"

    assert read(run_once(handle, configure=using(Stuck()))) == b'"late x"'
