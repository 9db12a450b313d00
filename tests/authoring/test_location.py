"""Errors about the journal name the place in the handler, wherever the operation was called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, race, sync
from durably.authoring.location import caller_location
from durably.authoring.sync_contexts import SyncContext
from durably.protocol import messages as wire
from durably.protocol.messages import MessageType
from tests.authoring.playing import app_of
from tests.runtime_model.runtime import Runtime

second = timedelta(seconds=1)


def line_of(function: Callable[..., Any], text: str) -> int:
    """Find a line of a function in this file."""
    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, line in enumerate(lines) if text in line)


def helper(ctx: Any) -> Any:
    """Call an operation on behalf of a handler."""
    return ctx.sleep(second)  # helper's call


async def directly(ctx: Context) -> None:
    """Call it in the handler."""
    await ctx.sleep(second)  # the call


async def in_a_helper(ctx: Context) -> None:
    """Call it in a function below."""
    await helper(ctx)


async def in_a_task(ctx: Context) -> None:
    """Call it in a task."""

    async def task() -> None:
        await ctx.sleep(second)  # the call

    await asyncio.gather(task(), task())


async def in_a_comprehension(ctx: Context) -> None:
    """Call it in a generator expression, through the standard library."""
    await race(*map(helper, [ctx]))


def directly_sync(ctx: SyncContext) -> None:
    """Call it in a `def` handler."""
    ctx.sleep(second)  # the call


def in_a_helper_sync(ctx: SyncContext) -> None:
    """Call it below a `def` handler."""
    sync.gather(helper(ctx.start))


@pytest.mark.parametrize(
    ("handler", "where", "text"),
    [
        (directly, directly, "# the call"),
        (in_a_helper, helper, "# helper's call"),
        (in_a_task, in_a_task, "# the call"),
        (in_a_comprehension, helper, "# helper's call"),
        (directly_sync, directly_sync, "# the call"),
        (in_a_helper_sync, helper, "# helper's call"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
@pytest.mark.parametrize("wsgi", [False, True])
def test_a_mismatch_names_entry_expectation_and_place(
    handler: Callable[..., Any], where: Callable[..., Any], text: str, wsgi: bool
) -> None:
    """The index, what the journal holds, what the code asked for, and file and line of the handler's call."""
    runtime = Runtime(app_of(handler, wsgi=wsgi), "Played", "play", wsgi=wsgi)
    run = wire.RunCommand(result_completion_id=1, name="charge")
    runtime.journal.append((MessageType.RUN, run.SerializeToString()))
    error = asyncio.run(runtime.attempt()).error
    assert error.code == 570
    assert "command 1" in error.message
    assert "run 'charge'" in error.message
    assert "sleep" in error.message
    assert f"{__file__}:{line_of(where, text)} in {where.__qualname__}" in error.message


async def awaits_too_early(ctx: Context) -> None:
    """Await something that the recorded handler did not await here."""
    await ctx.awakeable()[1]  # the wait
    await ctx.sleep(second)


def waits_too_early_sync(ctx: SyncContext) -> None:
    """Do the same."""
    ctx.awakeable()[1].result()  # the wait
    ctx.sleep(second)


@pytest.mark.parametrize("handler", [awaits_too_early, waits_too_early_sync], ids=lambda handler: handler.__name__)
def test_an_added_wait_names_its_place(handler: Callable[..., Any]) -> None:
    """The journal goes on with a command, so the recorded handler did not wait."""
    runtime = Runtime(app_of(handler), "Played", "play")
    runtime.journal.append((MessageType.SLEEP, wire.SleepCommand(result_completion_id=1).SerializeToString()))
    error = asyncio.run(runtime.attempt()).error
    assert error.code == 570
    assert "awaits awakeable 17" in error.message
    assert f"{__file__}:{line_of(handler, '# the wait')}" in error.message


def test_there_is_no_place_outside_of_handlers() -> None:
    """Where nothing of a handler is on the stack, no place is named; here it is this test."""
    assert str(caller_location()).startswith(__file__)
    places: list[str | None] = []

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: places.append(None))
        asyncio.get_running_loop().call_soon(caller_location)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert places == [None]
