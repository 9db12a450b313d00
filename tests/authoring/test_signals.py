"""Awakeables and named signals, in every setting."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from durably import Context, TerminalError
from durably.authoring.sync_contexts import SyncContext
from durably.protocol import messages as wire
from tests.authoring.playing import Play
from tests.runtime_model.runtime import Runtime


def resolve(runtime: Runtime) -> None:
    """Complete the first awakeable."""
    runtime.signal(index=17, value=b'{"by":"someone"}')


def reject(runtime: Runtime) -> None:
    """Fail the first awakeable."""
    runtime.signal(index=17, value=wire.Failure(code=418, message="no tea"))


def test_awakeables_are_awaited(play: Play) -> None:
    """A future of an awakeable gives the value that someone completes it with; its id stays the same."""
    ids: set[str] = set()

    async def handle(ctx: Context) -> Any:
        awakeable_id, future = ctx.awakeable(type_hint=dict)
        ids.add(awakeable_id)
        return await future

    def handle_sync(ctx: SyncContext) -> Any:
        awakeable_id, future = ctx.awakeable(type_hint=dict)
        ids.add(awakeable_id)
        return future.result()

    played = play(handle, handle_sync, prepare=resolve)
    assert played.result == {"by": "someone"}
    assert len(ids) == 1
    assert ids.pop().startswith("sign_1")


def test_a_rejected_awakeable_fails(play: Play) -> None:
    """The failure arrives with its code and text; uncaught, it is the invocation's."""

    async def handle(ctx: Context) -> Any:
        _, future = ctx.awakeable()
        return await future

    def handle_sync(ctx: SyncContext) -> Any:
        _, future = ctx.awakeable()
        return future.result()

    assert play(handle, handle_sync, prepare=reject).result == (418, "no tea")


def test_awakeables_are_completed(play: Play) -> None:
    """A handler completes awakeables, even its own, with a value or a failure."""

    async def handle(ctx: Context) -> Any:
        first_id, first = ctx.awakeable(type_hint=str)
        second_id, second = ctx.awakeable()
        ctx.resolve_awakeable(first_id, "done")
        ctx.reject_awakeable(second_id, "declined", 403)
        try:
            await second
        except TerminalError as error:
            return [await first, error.message, error.status_code]

    def handle_sync(ctx: SyncContext) -> Any:
        first_id, first = ctx.awakeable(type_hint=str)
        second_id, second = ctx.awakeable()
        ctx.resolve_awakeable(first_id, "done")
        ctx.reject_awakeable(second_id, "declined", 403)
        try:
            second.result()
        except TerminalError as error:
            return [first.result(), error.message, error.status_code]

    played = play(handle, handle_sync)
    assert played.result == ["done", "declined", 403]
    assert [each.WhichOneof("result") for each in played.awakeables] == ["value", "failure"]


def arrive(runtime: Runtime) -> None:
    """Let two named signals arrive, the second one failed."""
    runtime.signal(name="approved", value=b'"yes"')
    runtime.signal(name="refused", value=wire.Failure(code=403, message="never"))


def test_named_signals_are_awaited(play: Play) -> None:
    """A signal is waited for by its name; a failed one raises."""

    async def handle(ctx: Context) -> Any:
        try:
            return [await ctx.signal("approved", type_hint=str), await ctx.signal("refused")]
        except TerminalError as error:
            return error.message

    def handle_sync(ctx: SyncContext) -> Any:
        try:
            return [ctx.signal("approved", type_hint=str), ctx.signal("refused")]
        except TerminalError as error:
            return error.message

    assert play(handle, handle_sync, prepare=arrive).result == "never"


def test_signals_are_sent(play: Play) -> None:
    """Another invocation gets a value, or a failure, under a name."""

    async def handle(ctx: Context) -> None:
        ctx.resolve_signal("inv_1other", "approved", {"by": 7})
        ctx.reject_signal("inv_1other", "approved", "no", 403)
        await ctx.sleep(timedelta(seconds=1))

    def handle_sync(ctx: SyncContext) -> None:
        ctx.resolve_signal("inv_1other", "approved", {"by": 7})
        ctx.reject_signal("inv_1other", "approved", "no", 403)
        ctx.sleep(timedelta(seconds=1))

    first, second = play(handle, handle_sync).signals
    assert (first.target_invocation_id, first.name, first.value.content) == ("inv_1other", "approved", b'{"by":7}')
    assert (second.failure.code, second.failure.message) == (403, "no")
