"""The current context, and the data that extensions keep with an attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, TerminalError, current_context
from durably.authoring.sync_contexts import SyncContext
from durably.errors import NotInHandlerError
from durably.extensions import clear_extension_data, get_extension_data, set_extension_data
from tests.authoring.playing import Play, run_once

second = timedelta(seconds=1)


def test_there_is_no_context_outside_of_handlers() -> None:
    """The text says where it can be had."""
    with pytest.raises(NotInHandlerError, match="inside a handler"):
        current_context()


def test_the_context_at_any_depth(play: Play) -> None:
    """In the handler and below it; in a `def` handler it is the one whose operations give futures."""

    def below() -> Context:
        return current_context()

    async def handle(ctx: Context) -> bool:
        await ctx.sleep(second)
        return below() is ctx

    def handle_sync(ctx: SyncContext) -> bool:
        ctx.sleep(second)
        return below() is ctx.start

    assert play(handle, handle_sync).result is True


class Resource:
    """Notes when it is closed."""

    def __init__(self, log: list[str], name: str, *, fails: bool = False) -> None:
        """Note into `log`."""
        self.log, self.name, self.fails = log, name, fails

    def __close__(self) -> None:
        self.log.append(f"closed {self.name}")
        if self.fails:
            raise ValueError("cannot close")


class AsyncResource(Resource):
    """Is closed by waiting."""

    async def __close__(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().__close__()


@pytest.mark.parametrize("ending", ["value", "failure", "suspension"])
def test_extension_data_is_closed_with_the_attempt(play: Play, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each value once, whatever ended the attempt; one that cannot be closed does not keep the others open."""
    log: list[str] = []

    def keep(ctx: Context) -> None:
        assert get_extension_data(ctx, "a") is None
        set_extension_data(ctx, "a", Resource(log, "a", fails=True))
        set_extension_data(ctx, "b", Resource(log, "b"))
        set_extension_data(ctx, "gone", Resource(log, "gone"))
        clear_extension_data(ctx, "gone")
        clear_extension_data(ctx, "never there")
        set_extension_data(ctx, "plain", 1)
        assert get_extension_data(ctx, "plain") == 1

    async def handle(ctx: Context) -> None:
        keep(ctx)
        if ending == "failure":
            raise TerminalError("no")
        if ending == "suspension":
            await ctx.sleep(second)

    def handle_sync(ctx: SyncContext) -> None:
        keep(ctx.start)
        if ending == "failure":
            raise TerminalError("no")
        if ending == "suspension":
            ctx.sleep(second)

    played = play(handle, handle_sync, cuts=False)
    assert log == ["closed a", "closed b"] * len(played.attempts)
    assert caplog.text.count("Closing the extension data 'a' failed") == len(played.attempts)


def test_asynchronous_extension_data() -> None:
    """It is awaited in `async def` handlers; in `def` handlers nobody can, and the log says so."""
    log: list[str] = []

    async def handle(ctx: Context) -> None:
        set_extension_data(ctx, "a", AsyncResource(log, "a"))
        set_extension_data(ctx, "b", AsyncResource(log, "b"))

    run_once(handle)
    assert log == ["closed a", "closed b"]


def test_asynchronous_extension_data_in_def_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """It is left open, with a warning."""

    def handle(ctx: SyncContext) -> None:
        set_extension_data(ctx.start, "a", AsyncResource([], "a"))

    run_once(handle)
    assert "asynchronous __close__" in caplog.text


def test_extension_data_is_closed_inside_the_context_managers(play: Play) -> None:
    """Managers are entered in the order given and left in reverse, on every attempt; data is closed before."""
    log: list[str] = []

    def manager(name: str) -> Any:
        @contextmanager
        def entered() -> Iterator[None]:
            log.append(f"enter {name}")
            try:
                yield
            finally:
                log.append(f"exit {name}")

        @asynccontextmanager
        async def entered_async() -> Any:
            with entered():
                yield

        return entered_async if play.setting.flavour == "async" else entered

    async def handle(ctx: Context) -> None:
        set_extension_data(ctx, "data", Resource(log, "data"))
        await ctx.sleep(second)
        log.append("done")

    def handle_sync(ctx: SyncContext) -> None:
        set_extension_data(ctx.start, "data", Resource(log, "data"))
        ctx.sleep(second)
        log.append("done")

    managers = [manager("outer"), manager("inner")]
    played = play(handle, handle_sync, cuts=False, invocation_context_managers=managers)
    around = ["enter outer", "enter inner"], ["closed data", "exit inner", "exit outer"]
    suspended = [*around[0], *around[1]] * (len(played.attempts) - 1)
    assert log == [*suspended, *around[0], "done", *around[1]]


def test_an_asynchronous_manager_of_a_def_handler_is_refused() -> None:
    """The attempt fails, and the text says what to do."""

    @asynccontextmanager
    async def entered() -> Any:
        yield

    attempts = 0

    def managers() -> Any:
        nonlocal attempts
        attempts += 1
        return entered() if attempts == 1 else contextmanager(lambda: iter([None]))()

    def handle(ctx: SyncContext) -> None:
        return None

    (error,) = run_once(handle, invocation_context_managers=[managers]).errors
    assert "asynchronous context manager" in error.message
