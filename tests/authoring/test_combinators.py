"""The functions that wait for several futures: `gather`, `select`, `wait_completed`, `as_completed`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, TerminalError
from durably.errors import UsageError
from tests.authoring.playing import ASYNC, Play
from tests.authoring.test_combined import answer, calls, shown

pytestmark = pytest.mark.parametrize("play", ASYNC, indirect=True, ids=str)
second = timedelta(seconds=1)


def test_gather_gives_the_futures(play: Play) -> None:
    """All are settled; awaiting one gives its value or raises its failure."""

    async def handle(ctx: Context) -> Any:
        good, bad = await durably.gather(*calls(ctx, "a", "deny:1"))
        with pytest.raises(TerminalError, match="denied"):
            await bad
        return [shown(await good), await durably.gather()]

    assert play(handle, on_call=answer).result == ["a", []]


def test_select_gives_name_and_value(play: Play) -> None:
    """The first of the settled, by name; a failure is raised; at least one is needed."""

    async def handle(ctx: Context) -> Any:
        never, a, denied = calls(ctx, "never", "a", "deny:1")
        with pytest.raises(UsageError, match="at least one future"):
            await durably.select()
        match await durably.select(never=never, first=a):
            case ["first", value]:
                log = [shown(value)]
            case other:
                log = [str(other)]
        with pytest.raises(TerminalError, match="denied"):
            await durably.select(never=never, bad=denied)
        return log

    assert play(handle, on_call=answer).result == ["a"]


def test_wait_completed_splits(play: Play) -> None:
    """The settled and the others, each in the order given."""

    async def handle(ctx: Context) -> Any:
        never, a, b = calls(ctx, "never", "a", "b")
        completed, rest = await durably.wait_completed(never, a, b)
        await b
        again = await durably.wait_completed(b, never, a)
        return [
            completed == [a],
            rest == [never, b],
            again == ([b, a], [never]),
            await durably.wait_completed() == ([], []),
        ]

    assert play(handle, on_call=answer).result == [True] * 4


def test_as_completed_yields_each_once(play: Play) -> None:
    """In the order in which they are settled; a failure is raised when the future is awaited."""

    async def handle(ctx: Context) -> Any:
        timer = ctx.sleep(second)
        a, denied, b = calls(ctx, "a", "deny:1", "b")
        log = []
        async for future in durably.as_completed(b, denied, a, timer):
            try:
                log.append(shown(await future))
            except TerminalError as error:
                log.append(error.status_code)
        return [log, [each async for each in durably.as_completed()]]

    assert play(handle, on_call=answer).result == [[None, "a", 401, "b"], []]
