"""Combined futures: what they give, what they wait for, and what cannot be combined."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, TerminalError, current_context
from durably.authoring import combinators
from durably.authoring.sync_contexts import SyncContext
from durably.errors import UsageError
from durably.protocol import messages as wire
from durably.protocol.versions import ProtocolVersion
from tests.authoring.playing import Play, app_of, run_once
from tests.runtime_model.runtime import Rejected, Runtime

second = timedelta(seconds=1)


def answer(service: str, handler: str, parameter: bytes) -> bytes | None:
    """Be a callee that fails, answers, or never does."""
    if handler == "deny":
        raise Rejected(400 + int(parameter or b"0"), "denied")
    return None if handler == "never" else parameter


def calls(start: Any, *what: str) -> list[Any]:
    """Make calls: "deny:1" fails with 401, "never" has no answer, anything else is the answer."""
    futures = []
    for each in what:
        handler, _, parameter = each.partition(":")
        named = handler in ("deny", "never")
        futures.append(start.generic_call("A", handler if named else "echo", (parameter if named else each).encode()))
    return futures


def shown(value: Any) -> Any:
    """Make an outcome comparable."""
    match value:
        case bytes():
            return value.decode()
        case list():
            return [shown(each) for each in value]
        case durably.DurableFuture():
            return "future"
        case _:
            return value


CASES = [
    ("race", ["never", "a"], "a"),
    ("race", ["deny:1", "never"], (401, "denied")),
    ("any", ["deny:1", "a", "never"], "a"),
    ("any", ["deny:1", "deny:2"], (402, "denied")),
    ("all_of", ["a", "b"], ["a", "b"]),
    ("all_of", ["never", "deny:1"], (401, "denied")),
    ("gather", ["a", "deny:1"], ["future", "future"]),
]


@pytest.mark.parametrize(
    ("name", "what", "expected"), CASES, ids=[f"{name}-{'-'.join(what)}" for name, what, _ in CASES]
)
def test_combinators(play: Play, name: str, what: list[str], expected: Any) -> None:
    """Each gives what its name says, whatever arrives, in `async def` and `def` handlers."""

    async def handle(ctx: Context) -> Any:
        combine = getattr(combinators, name)
        return shown(await combine(*calls(ctx, *what)))

    def handle_sync(ctx: SyncContext) -> Any:
        combine = getattr(durably.sync, name)
        return shown(combine(*calls(ctx.start, *what)))

    assert play(handle, handle_sync, on_call=answer).result == expected


def test_all_settled(play: Play) -> None:
    """Each outcome, in the order given; a value that cannot be read is no outcome and is raised."""

    async def handle(ctx: Context) -> Any:
        settled = await durably.all_settled(*calls(ctx, "a", "deny:3"))
        with pytest.raises(ValueError, match="invalid literal"):
            await durably.all_settled(calls(ctx, "x")[0].map(int))
        return [[each.status, shown(each.value), each.error and each.error.status_code] for each in settled]

    def handle_sync(ctx: SyncContext) -> Any:
        settled = durably.sync.all_settled(*calls(ctx.start, "a", "deny:3"))
        with pytest.raises(ValueError, match="invalid literal"):
            durably.sync.all_settled(calls(ctx.start, "x")[0].map(int))
        return [[each.status, shown(each.value), each.error and each.error.status_code] for each in settled]

    played = play(handle, handle_sync, on_call=answer)
    assert played.result == [["fulfilled", "a", None], ["rejected", None, 403]]


def test_nested_combinations(play: Play) -> None:
    """Combinations, mappings and time limits may be inside each other."""

    async def handle(ctx: Context) -> Any:
        a, b, denied, never = calls(ctx, "a", "b", "deny:1", "never")
        inner = durably.all_of(a.map(bytes.decode), durably.race(never, b).map(bytes.decode))
        outer = combinators.any(denied, inner.or_timeout(timedelta(days=1)).map("".join))
        return await durably.race(durably.all_of(outer, ctx.sleep(second)), never)

    def handle_sync(ctx: SyncContext) -> Any:
        start, sync = ctx.start, combinators
        a, b, denied, never = calls(start, "a", "b", "deny:1", "never")
        inner = sync.all_of(a.map(bytes.decode), sync.race(never, b).map(bytes.decode))
        outer = sync.any(denied, inner.or_timeout(timedelta(days=1)).map("".join))
        return durably.sync.race(sync.all_of(outer, start.sleep(second)), never)

    assert play(handle, handle_sync, on_call=answer).result == ["ab", None]


def test_steps_in_combinations(play: Play) -> None:
    """Steps that are combined run beside each other, and beside timers."""

    async def handle(ctx: Context) -> Any:
        steps = [ctx.run(f"step {number}", lambda number=number: number) for number in range(3)]
        return await durably.all_of(*steps, ctx.sleep(second))

    def handle_sync(ctx: SyncContext) -> Any:
        steps = [ctx.start.run(f"step {number}", lambda number=number: number) for number in range(3)]
        return durably.sync.all_of(*steps, ctx.start.sleep(second))

    assert play(handle, handle_sync).result == [0, 1, 2, None]


def test_a_combination_is_awaited_again(play: Play) -> None:
    """Its value is kept; it can be asked without waiting."""

    async def handle(ctx: Context) -> Any:
        both = durably.all_of(*calls(ctx, "a", "b"))
        before = both.done()
        return [before, shown(await both), both.done(), shown(await both)]

    def handle_sync(ctx: SyncContext) -> Any:
        both = combinators.all_of(*calls(ctx.start, "a", "b"))
        before = both.done()
        return [before, shown(both.result()), both.done(), shown(both.result())]

    assert play(handle, handle_sync, on_call=answer).result == [False, ["a", "b"], True, ["a", "b"]]


def test_a_suspension_names_what_is_left() -> None:
    """Children that are settled no longer take part in what is waited for (V7: the tree, before: all leaves)."""

    async def handle(ctx: Context) -> Any:
        await durably.all_of(ctx.sleep(second), durably.race(ctx.sleep(second), ctx.sleep(second)), ctx.sleep(second))

    def last(runtime: Runtime) -> Any:
        for _ in range(2):
            asyncio.run(runtime.attempt())
            runtime.complete_one()
        _, payload = asyncio.run(runtime.attempt()).frames[-1]
        return wire.Suspension.FromString(payload)

    app = app_of(handle)
    old = last(Runtime(app, "Played", "play", streaming=False, seed=None))
    assert sorted(old.waiting_completions) == [4]
    new = last(Runtime(app, "Played", "play", streaming=False, seed=None, version=ProtocolVersion.V7))
    assert list(new.awaiting_on.waiting_completions) == [4]


@pytest.mark.parametrize("name", ["race", "any", "all_of", "all_settled"])
def test_what_cannot_be_combined_is_refused(name: str) -> None:
    """Nothing at all, coroutines, and futures of another invocation."""
    kept: list[Any] = []

    async def other(ctx: Context) -> None:
        kept.append(ctx.sleep(second))

    async def handle(ctx: Context) -> str:
        combine: Any = getattr(combinators, name)
        with pytest.raises(UsageError, match="No future was given"):
            combine()
        coroutine = asyncio.sleep(0)
        with pytest.raises(UsageError, match="coroutine is not a durable future"):
            combine(ctx.sleep(second), coroutine)
        coroutine.close()
        with pytest.raises(UsageError, match="different invocations"):
            combine(ctx.sleep(second), kept[0])
        assert current_context() is ctx
        return "refused"

    run_once(other)
    assert run_once(handle).result == "refused"


@pytest.mark.parametrize(("depth", "ending"), [(40, "end"), (250, "error"), (1000, "error")])
def test_deep_combinations(depth: int, ending: str) -> None:
    """Combinations may be nested some dozens of times; far deeper ones fail the attempt instead of the process."""

    async def handle(ctx: Context) -> str:
        future: Any = ctx.sleep(second)
        for _ in range(depth):
            future = durably.race(future, ctx.sleep(second))
        await future
        return "done"

    assert asyncio.run(Runtime(app_of(handle), "Played", "play").attempt()).ending == ending


def test_failures_keep_their_class(play: Play) -> None:
    """A failure inside a combination is the `TerminalError` that the future itself raises."""

    async def handle(ctx: Context) -> Any:
        denied = calls(ctx, "deny:1")[0]
        with pytest.raises(TerminalError) as combined:
            await durably.all_of(denied, ctx.sleep(second))
        with pytest.raises(TerminalError) as alone:
            await denied
        return combined.value is alone.value

    def handle_sync(ctx: SyncContext) -> Any:
        denied = calls(ctx.start, "deny:1")[0]
        with pytest.raises(TerminalError) as combined:
            durably.sync.all_of(denied, ctx.start.sleep(second))
        with pytest.raises(TerminalError) as alone:
            denied.result()
        return combined.value is alone.value

    assert play(handle, handle_sync, on_call=answer).result is True
