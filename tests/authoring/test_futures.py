"""Durable futures: awaited any number of times, asked, mapped, limited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durably import Context, DurableTimeoutError, TerminalError, current_context
from durably.authoring.futures import DurableFuture
from durably.authoring.sync_contexts import SyncContext
from durably.errors import SerdeError, UsageError
from tests.authoring.playing import Play, run_once
from tests.runtime_model.runtime import Rejected

second = timedelta(seconds=1)


def deny(service: str, handler: str, parameter: bytes) -> bytes | None:
    """Be a callee that fails, answers, or never does."""
    if handler == "deny":
        raise Rejected(403, "denied")
    return None if handler == "never" else parameter


def test_a_future_gives_its_outcome_any_number_of_times(play: Play) -> None:
    """Values and failures alike; the same failure is raised each time."""

    async def handle(ctx: Context) -> Any:
        call, failing = ctx.generic_call("A", "b", b"1"), ctx.generic_call("A", "deny", b"")
        values = [(await call).decode(), (await call).decode()]
        for _ in range(2):
            with pytest.raises(TerminalError, match="denied"):
                await failing
        return values

    def handle_sync(ctx: SyncContext) -> Any:
        call, failing = ctx.start.generic_call("A", "b", b"1"), ctx.start.generic_call("A", "deny", b"")
        values = [call.result().decode(), call.result().decode()]
        for _ in range(2):
            with pytest.raises(TerminalError, match="denied"):
                failing.result()
        return values

    assert play(handle, handle_sync, on_call=deny).result == ["1", "1"]


def test_done_tells_the_same_on_every_attempt(play: Play) -> None:
    """A notification counts once a wait has reached its place in the journal."""

    async def handle(ctx: Context) -> Any:
        first, second_one = ctx.sleep(second), ctx.sleep(second)
        states = [first.done(), second_one.done()]
        await first
        states += [first.done(), second_one.done()]
        await second_one
        return [*states, second_one.is_completed()]

    def handle_sync(ctx: SyncContext) -> Any:
        first, second_one = ctx.start.sleep(second), ctx.start.sleep(second)
        states = [first.done(), second_one.done()]
        first.result()
        states += [first.done(), second_one.done()]
        second_one.result()
        return [*states, second_one.is_completed()]

    assert play(handle, handle_sync).result == [False, False, True, False, True]


def test_mapped_futures(play: Play) -> None:
    """Values and terminal failures are mapped, once; a mapping may fail itself, or be mapped again."""
    calls: list[bytes] = []

    def read(value: bytes) -> int:
        calls.append(value)
        return int(value)

    async def handle(ctx: Context) -> Any:
        mapped = ctx.generic_call("A", "b", b"1").map(read)
        wrong = ctx.generic_call("A", "b", b"x").map(read)
        caught = ctx.generic_call("A", "deny", b"").map(read, lambda error: error.status_code)
        passed = ctx.generic_call("A", "deny", b"").map(read).map(str)
        failing = ctx.generic_call("A", "deny", b"").map(read, lambda error: 1 // 0)
        result = [await mapped, await mapped, mapped.done(), await caught, await mapped.map(lambda value: value + 1)]
        with pytest.raises(ValueError, match="invalid literal"):
            await wrong
        with pytest.raises(TerminalError, match="denied"):
            await passed
        with pytest.raises(ZeroDivisionError):
            await failing
        return result

    def handle_sync(ctx: SyncContext) -> Any:
        mapped = ctx.start.generic_call("A", "b", b"1").map(read)
        wrong = ctx.start.generic_call("A", "b", b"x").map(read)
        caught = ctx.start.generic_call("A", "deny", b"").map(read, lambda error: error.status_code)
        passed = ctx.start.generic_call("A", "deny", b"").map(read).map(str)
        failing = ctx.start.generic_call("A", "deny", b"").map(read, lambda error: 1 // 0)
        result = [
            mapped.result(),
            mapped.result(),
            mapped.done(),
            caught.result(),
            mapped.map(lambda v: v + 1).result(),
        ]
        with pytest.raises(ValueError, match="invalid literal"):
            wrong.result()
        with pytest.raises(TerminalError, match="denied"):
            passed.result()
        with pytest.raises(ZeroDivisionError):
            failing.result()
        return result

    played = play(handle, handle_sync, on_call=deny, cuts=False)
    assert played.result == [1, 1, True, 403, 2]
    assert calls == [b"1", b"x"] or play.setting.carrier != "streaming"  # once for each attempt
    assert play(handle, handle_sync, on_call=deny).result == [1, 1, True, 403, 2]


def test_time_limits(play: Play) -> None:
    """A future fails when the timer is first; otherwise it is what it was."""

    async def handle(ctx: Context) -> Any:
        late = ctx.generic_call("A", "never", b"").or_timeout(second)
        try:
            await late
        except DurableTimeoutError as error:
            caught = [error.status_code, error.message]
        with pytest.raises(TerminalError, match="denied"):
            await ctx.generic_call("A", "deny", b"").or_timeout(timedelta(days=1))
        return [caught, (await ctx.generic_call("A", "b", b"1").or_timeout(timedelta(days=1))).decode()]

    def handle_sync(ctx: SyncContext) -> Any:
        late = ctx.start.generic_call("A", "never", b"").or_timeout(second)
        try:
            late.result()
        except DurableTimeoutError as error:
            caught = [error.status_code, error.message]
        with pytest.raises(TerminalError, match="denied"):
            ctx.start.generic_call("A", "deny", b"").or_timeout(timedelta(days=1)).result()
        return [caught, ctx.start.generic_call("A", "b", b"1").or_timeout(timedelta(days=1)).result().decode()]

    played = play(handle, handle_sync, on_call=deny, prepare=None)
    assert played.result == [[408, "the durable wait timed out"], "1"]


def test_a_time_limit_that_nobody_catches_ends_the_invocation(play: Play) -> None:
    """It is terminal."""

    async def handle(ctx: Context) -> None:
        await ctx.awakeable()[1].or_timeout(second)

    def handle_sync(ctx: SyncContext) -> None:
        ctx.awakeable()[1].or_timeout(second).result()

    assert play(handle, handle_sync).result == (408, "the durable wait timed out")


def test_a_value_that_does_not_fit_its_type_fails_the_attempt() -> None:
    """It is no failure of the callee: the text says what does not fit, each time the future is asked."""

    async def handle(ctx: Context) -> str:
        call = ctx.attach_invocation("inv_1done", type_hint=int)
        for _ in range(2):
            with pytest.raises(SerdeError):
                await call
        return "told"

    played = run_once(handle, prepare=lambda runtime: runtime.outputs.update({"inv_1done": b'"text"'}))
    assert played.result == "told"


def test_futures_have_hashes_that_do_not_change() -> None:
    """Sets of futures are iterated in the same order on every attempt."""

    async def handle(ctx: Context) -> Any:
        futures = [ctx.sleep(second), ctx.sleep(second), ctx.awakeable()[1], ctx.signal("name")]
        return [hash(future) for future in futures]

    assert run_once(handle).result == run_once(handle).result


def test_futures_are_awaited_in_async_handlers_only() -> None:
    """In a `def` handler there is no event loop: the text says what to do instead."""

    def handle(ctx: SyncContext) -> str:
        for future in (ctx.start.sleep(second), ctx.start.sleep(second).map(str), ctx.start.run("step", lambda: 1)):
            with pytest.raises(UsageError, match=r"Call its result\(\) instead"):
                future.__await__().send(None)
        return "refused"

    assert run_once(handle).result == "refused"


@pytest.mark.parametrize("flavour", ["async", "sync"])
def test_futures_are_useless_after_their_attempt(flavour: str) -> None:
    """A future that outlives its attempt raises what ended it, and never waits."""
    kept: list[DurableFuture[Any]] = []

    async def handle(ctx: Context) -> None:
        kept.extend([ctx.sleep(second), ctx.sleep(second).map(str)])

    def handle_sync(ctx: SyncContext) -> None:
        kept.extend([ctx.start.sleep(second), ctx.start.sleep(second).map(str)])
        assert current_context() is ctx.start

    run_once(handle if flavour == "async" else handle_sync)
    for future in kept:
        with pytest.raises(BaseException, match=r"attempt (is over|failed)|closed"):
            future.__await__().send(None) if flavour == "async" else future.result()
