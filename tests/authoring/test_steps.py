"""Durable steps, timers, chance and time, in every setting."""

from __future__ import annotations

import functools
import time
import uuid
from datetime import timedelta
from typing import Any, cast

import pytest

import durably
from durably import Context, RunOptions, TerminalError
from durably.authoring.sync_contexts import SyncContext
from durably.errors import RunFailedError
from durably.protocol import messages as wire
from durably.protocol.messages import MessageType
from tests.authoring.playing import Play, run_once


def test_steps_run_once(play: Play) -> None:
    """A recorded step is not executed again; its result has its type on the first run and on replay."""
    executed: list[str] = []

    async def add(left: int, right: int = 0) -> int:
        executed.append("add")
        return left + right

    async def handle(ctx: Context) -> Any:
        total = await ctx.run_typed("typed", add, RunOptions(), 1, right=2)
        return [total, await ctx.run("plain", add, args=(3,)), await ctx.run("hinted", add, type_hint=int, args=(4,))]

    def add_sync(left: int, right: int = 0) -> int:
        executed.append("add")
        return left + right

    def handle_sync(ctx: SyncContext) -> Any:
        total = ctx.run_typed("typed", add_sync, RunOptions(), 1, right=2)
        return [total, ctx.run("plain", add_sync, args=(3,)), ctx.run("hinted", add_sync, type_hint=int, args=(4,))]

    played = play(handle, handle_sync, cuts=False)
    assert played.result == [3, 3, 4]
    assert executed == ["add"] * 3
    assert play(handle, handle_sync).result == [3, 3, 4]


def test_a_step_that_fails_for_good_fails_alike_on_replay(play: Play) -> None:
    """A terminal error of a step arrives as `RunFailedError` with its code, now and on replay."""

    async def fail() -> None:
        raise TerminalError("sold out", 410)

    async def handle(ctx: Context) -> Any:
        try:
            await ctx.run_typed("reserve", fail)
        except RunFailedError as error:
            return [error.message, error.status_code]

    def fail_sync() -> None:
        raise TerminalError("sold out", 410)

    def handle_sync(ctx: SyncContext) -> Any:
        try:
            ctx.run_typed("reserve", fail_sync)
        except RunFailedError as error:
            return [error.message, error.status_code]

    assert play(handle, handle_sync).result == ["sold out", 410]


def test_an_uncaught_failure_of_a_step_is_the_invocations(play: Play) -> None:
    """A terminal error that nobody catches is what the caller gets."""

    async def fail() -> None:
        raise TerminalError("sold out", 410)

    async def handle(ctx: Context) -> None:
        await ctx.run_typed("reserve", fail)

    def fail_sync() -> None:
        raise TerminalError("sold out", 410)

    def handle_sync(ctx: SyncContext) -> None:
        ctx.run_typed("reserve", fail_sync)

    assert play(handle, handle_sync).result == (410, "sold out")


def test_timers(play: Play) -> None:
    """A timer is journaled with its label and an absolute time."""

    async def handle(ctx: Context) -> str:
        await ctx.sleep(timedelta(seconds=90), name="nap")
        return "awake"

    def handle_sync(ctx: SyncContext) -> str:
        ctx.sleep(timedelta(seconds=90), name="nap")
        return "awake"

    played = play(handle, handle_sync)
    assert played.result == "awake"
    sleep = wire.SleepCommand.FromString(played.journal[1][1])
    assert sleep.name == "nap"
    assert abs(sleep.wake_up_time - (time.time() + 90) * 1000) < 20_000


def test_chance_and_time_are_the_same_on_every_attempt(play: Play) -> None:
    """Random numbers, ids and the time do not change when the handler runs again."""

    async def handle(ctx: Context) -> Any:
        first = [ctx.random().random(), str(ctx.uuid()), await ctx.time()]
        await ctx.sleep(timedelta(seconds=1))
        return [*first, ctx.random().randint(0, 10**9), str(ctx.uuid())]

    def handle_sync(ctx: SyncContext) -> Any:
        first = [ctx.random().random(), str(ctx.uuid()), ctx.time()]
        ctx.sleep(timedelta(seconds=1))
        return [*first, ctx.random().randint(0, 10**9), str(ctx.uuid())]

    played = play(handle, handle_sync, cuts=False)  # the time differs between runs, not between attempts
    _, first_id, at, _, second_id = played.result
    assert abs(at - time.time()) < 60
    assert uuid.UUID(first_id).version == 4
    assert first_id != second_id


def test_chance_comes_from_the_seed_of_the_invocation() -> None:
    """Two runs of one invocation agree; the numbers are those of the seed in Start."""

    async def handle(ctx: Context) -> float:
        return ctx.random().random()

    assert run_once(handle).result == run_once(handle).result
    assert run_once(handle, version=durably.protocol.versions.ProtocolVersion.V5).result != run_once(handle).result


def test_a_timer_of_no_time_is_refused(play: Play) -> None:
    """A number says nothing about its unit: the error asks for a timedelta."""

    async def handle(ctx: Context) -> str:
        with pytest.raises(durably.errors.UsageError, match=r"sleep was given 5, which is no timedelta"):
            ctx.sleep(cast("timedelta", 5))
        return "refused"

    def handle_sync(ctx: SyncContext) -> str:
        with pytest.raises(durably.errors.UsageError, match=r"sleep was given 0\.5, which is no timedelta"):
            ctx.sleep(cast("timedelta", 0.5))
        return "refused"

    assert play(handle, handle_sync).result == "refused"


def test_a_negative_timer_is_refused(play: Play) -> None:
    """The error says so; nothing is journaled."""

    async def handle(ctx: Context) -> str:
        with pytest.raises(durably.errors.UsageError, match="negative duration"):
            ctx.sleep(timedelta(seconds=-1))
        return "refused"

    def handle_sync(ctx: SyncContext) -> str:
        with pytest.raises(durably.errors.UsageError, match="negative duration"):
            ctx.sleep(timedelta(seconds=-1))
        return "refused"

    assert play(handle, handle_sync).commands == ["INPUT", "OUTPUT"]


def test_results_of_steps_have_their_types(play: Play) -> None:
    """The return annotation, the hint of the options, or that of `run` decides what a recorded result is."""

    async def when() -> uuid.UUID:
        return uuid.UUID(int=7)

    async def anything() -> Any:
        return {"amount": "1.5"}

    async def handle(ctx: Context) -> Any:
        first = await ctx.run_typed("annotated", when)
        second = await ctx.run_typed("optional", anything, RunOptions(type_hint=dict[str, float]))
        third = await ctx.run("hint", anything, type_hint=dict[str, float])
        return [type(first).__name__, second, third]

    def when_sync() -> uuid.UUID:
        return uuid.UUID(int=7)

    def anything_sync() -> Any:
        return {"amount": "1.5"}

    def handle_sync(ctx: SyncContext) -> Any:
        first = ctx.run_typed("annotated", when_sync)
        second = ctx.run_typed("optional", anything_sync, RunOptions(type_hint=dict[str, float]))
        third = ctx.run("hint", anything_sync, type_hint=dict[str, float])
        return [type(first).__name__, second, third]

    assert play(handle, handle_sync).result == ["UUID", {"amount": 1.5}, {"amount": 1.5}]


class Greeter:
    """Actions of many shapes."""

    async def greet(self, name: str) -> str:
        """Greet, as a method."""
        return f"hello {name}"

    async def __call__(self, name: str) -> str:
        """Greet, as an object."""
        return f"called {name}"

    def plainly(self, name: str) -> str:
        """Greet, without a coroutine."""
        return f"plain {name}"


def decorated(function: Any) -> Any:
    """Wrap, as decorators do."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def test_actions_of_all_shapes() -> None:
    """Methods, partials, callable objects, decorated functions and lambdas around coroutines are actions."""
    greeter = Greeter()

    async def handle(ctx: Context) -> list[str]:
        actions: list[Any] = [
            greeter.greet,
            greeter,
            greeter.plainly,
            functools.partial(greeter.greet, "partial"),
            functools.partial(functools.partial(greeter.plainly), "partial"),
            decorated(greeter.greet),
            lambda name: greeter.greet(name),
            lambda name: name.upper(),
            str.lower,
        ]
        return [
            await ctx.run(f"step {number}", action, args=() if isinstance(action, functools.partial) else ("You",))
            for number, action in enumerate(actions)
        ]

    assert run_once(handle).result == [
        "hello You",
        "called You",
        "plain You",
        "hello partial",
        "plain partial",
        "hello You",
        "hello You",
        "YOU",
        "you",
    ]


def test_names_of_steps_may_be_long_or_not_ascii(play: Play) -> None:
    """Whatever the label, the step replays."""

    async def nothing() -> None:
        return None

    async def handle(ctx: Context) -> None:
        for name in ("", "ß" * 100, "n" * 5000):
            await ctx.run_typed(name, nothing)

    def handle_sync(ctx: SyncContext) -> None:
        for name in ("", "ß" * 100, "n" * 5000):
            ctx.run_typed(name, lambda: None)

    played = play(handle, handle_sync)
    runs = [wire.RunCommand.FromString(entry).name for kind, entry in played.journal if kind == MessageType.RUN]
    assert runs == ["", "ß" * 100, "n" * 5000]
