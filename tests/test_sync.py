"""Waiting for several durable futures in a `def` handler."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import TerminalError, sync
from durably.authoring import combinators
from durably.authoring.sync_contexts import SyncContext
from durably.errors import UsageError
from tests.authoring.playing import SYNC, Play
from tests.authoring.test_combined import answer, calls, shown

second = timedelta(seconds=1)


@pytest.fixture(params=SYNC, ids=str)
def play(request: pytest.FixtureRequest) -> Play:
    """Play `def` handlers, in one setting after the other."""
    return Play(request.param)


def test_the_names_are_those_of_async_handlers() -> None:
    """Each function that waits for futures in `async def` handlers has its twin."""
    waiting = {"all_of", "all_settled", "any", "as_completed", "gather", "race", "select", "wait_completed"}
    assert waiting <= set(sync.__all__)
    assert waiting <= set(combinators.__all__)


def test_gather_gives_the_futures(play: Play) -> None:
    """All are settled; `result()` gives the value or raises the failure."""

    def handle(ctx: SyncContext) -> Any:
        good, bad = sync.gather(*calls(ctx.start, "a", "deny:1"))
        with pytest.raises(TerminalError, match="denied"):
            bad.result()
        return [shown(good.result()), sync.gather()]

    assert play(None, handle, on_call=answer).result == ["a", []]


def test_select_gives_name_and_value(play: Play) -> None:
    """The first of the settled, by name; a failure is raised; at least one is needed."""

    def handle(ctx: SyncContext) -> Any:
        never, a, denied = calls(ctx.start, "never", "a", "deny:1")
        with pytest.raises(UsageError, match="at least one future"):
            sync.select()
        name, value = sync.select(never=never, first=a)
        with pytest.raises(TerminalError, match="denied"):
            sync.select(never=never, bad=denied)
        return [name, shown(value)]

    assert play(None, handle, on_call=answer).result == ["first", "a"]


def test_wait_completed_and_as_completed(play: Play) -> None:
    """The settled and the others, each in the order given; then each once."""

    def handle(ctx: SyncContext) -> Any:
        never, a, b = calls(ctx.start, "never", "a", "b")
        completed, rest = sync.wait_completed(never, a, b)
        each = [shown(future.result()) for future in sync.as_completed(b, a)]
        return [
            completed == [a],
            rest == [never, b],
            each,
            sync.wait_completed() == ([], []),
            list(sync.as_completed()),
        ]

    assert play(None, handle, on_call=answer).result == [True, True, ["a", "b"], True, []]


def test_several_steps_run_at_once(play: Play) -> None:
    """Steps that are waited for together run on threads of their own, beside each other."""

    def handle(ctx: SyncContext) -> Any:
        together = threading.Barrier(3)

        def act(number: int) -> int:
            together.wait(5)
            return number

        steps = [ctx.start.run(f"step {number}", act, args=(number,)) for number in range(3)]
        return sync.all_of(*steps)

    assert play(None, handle, cuts=False).result == [0, 1, 2]


def test_a_step_that_fails_beside_others(play: Play) -> None:
    """A terminal failure is raised; another one fails the attempt, and what was recorded is not run again."""
    left = 1

    def handle(ctx: SyncContext) -> Any:
        def flaky() -> str:
            nonlocal left
            if left:
                left -= 1
                raise ValueError("wrong")
            return "fine"

        def fail() -> None:
            raise TerminalError("no", 418)

        first = sync.all_of(ctx.start.run("flaky", flaky), ctx.start.sleep(second))
        with pytest.raises(TerminalError, match="no"):
            sync.all_of(ctx.start.run("failing", fail), ctx.start.sleep(second))
        return first

    played = play(None, handle, cuts=False, fails=True)
    assert played.result == ["fine", None]
    assert [error.message for error in played.errors] == ["ValueError: wrong"]


def test_results_of_steps_beside_others_see_the_handlers_variables(play: Play) -> None:
    """Helper threads have the context variables of the handler."""

    def handle(ctx: SyncContext) -> Any:
        def act() -> bool:
            return durably.current_context() is ctx.start

        return sync.all_of(ctx.start.run("step", act), ctx.start.sleep(second))

    assert play(None, handle, cuts=False).result == [True, None]
