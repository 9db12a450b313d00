"""Steps with resources that fail, or are interrupted: what is closed, and what is recorded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from durably import Context, RunOptions, SyncContext, TerminalError
from durably.authoring.step_managers import StepInfo, StepManagerFactory
from tests.authoring.playing import run_once
from tests.authoring.resources import Resource

Phase = str


def _failing(phase: Phase, log: list[str]) -> StepManagerFactory:
    """Make a factory that fails twice in a phase and then works."""
    left = [2]

    def failure() -> bool:
        left[0] -= 1
        return left[0] >= 0

    def factory(info: StepInfo) -> AbstractContextManager[None]:
        if phase == "making" and failure():
            raise OSError(phase)

        @contextmanager
        def manager() -> Iterator[None]:
            if phase == "opening" and failure():
                raise OSError(phase)
            yield
            if phase == "closing" and failure():
                raise OSError(phase)
            log.append("committed")

        return manager()

    return factory


@pytest.mark.parametrize("flavour", ["async", "thread", "blocking"])
@pytest.mark.parametrize("phase", ["making", "opening", "closing", "never"])
@pytest.mark.parametrize("attempts", [3, 1])
def test_a_failure_to_open_or_close_is_the_steps(flavour: str, phase: Phase, attempts: int) -> None:
    """The step follows its own retry policy: it is executed again, or fails for good; nothing is recorded before."""
    log: list[str] = []
    options: RunOptions[int] = RunOptions(max_attempts=attempts, initial_retry_interval=timedelta(0))

    async def awaiting() -> int:
        return 7

    def plain() -> int:
        return 7

    async def handle(ctx: Context) -> Any:
        try:
            return await ctx.run_typed("step", awaiting if flavour == "async" else plain, options)
        except TerminalError as error:
            return error.message

    def handle_blocking(ctx: SyncContext) -> Any:
        try:
            return ctx.run_typed("step", plain, options)
        except TerminalError as error:
            return error.message

    handler = handle_blocking if flavour == "blocking" else handle
    played = run_once(handler, step_managers=[_failing(phase, log)])
    gives_up = attempts == 1 and phase != "never"
    assert played.result == (f"OSError: {phase}" if gives_up else 7)
    assert log == ([] if gives_up else ["committed"])


@pytest.mark.parametrize("flavour", ["async", "thread", "blocking"])
def test_a_value_that_cannot_be_written_is_rolled_back(flavour: str) -> None:
    """The result is written while the resource is open, so that nothing is committed that is not recorded."""
    log: list[str] = []
    db = Resource(log)
    options: RunOptions[Any] = RunOptions(max_attempts=1)

    def plain(db: Resource) -> object:
        return object()

    async def awaiting(db: Resource) -> object:
        return object()

    async def handle(ctx: Context) -> Any:
        with suppress(TerminalError):
            await ctx.run_typed("step", awaiting if flavour == "async" else plain, options)
        return "failed"

    def handle_blocking(ctx: SyncContext) -> Any:
        with suppress(TerminalError):
            ctx.run_typed("step", plain, options)
        return "failed"

    handler = handle_blocking if flavour == "blocking" else handle
    assert run_once(handler, step_managers=[db.factory]).result == "failed"
    assert log == ["open db for step", "SerdeError in step", "close db for step"]


@pytest.mark.parametrize("flavour", ["async", "thread", "blocking"])
def test_the_actions_error_reaches_the_managers(flavour: str) -> None:
    """They can roll back; and one that swallows the error makes the step give None."""
    log: list[str] = []
    db = Resource(log)

    def plain(**given: Any) -> None:
        raise TerminalError("no", 402)

    async def awaiting(**given: Any) -> None:
        raise TerminalError("no", 402)

    async def handle(ctx: Context) -> Any:
        return await ctx.run_typed("step", awaiting if flavour == "async" else plain)

    def handle_blocking(ctx: SyncContext) -> Any:
        return ctx.run_typed("step", plain)

    handler = handle_blocking if flavour == "blocking" else handle
    failed = run_once(handler, step_managers=[db.factory])
    assert failed.failure is not None
    assert failed.failure.code == 402
    assert log == ["open db for step", "TerminalError in step", "close db for step"]
    assert run_once(handler, step_managers=[lambda info: suppress(TerminalError)]).result is None


@pytest.mark.parametrize("kind", ["async", "thread", "awaitable"])
def test_an_interrupted_step_closes_what_it_opened(kind: str) -> None:
    """A time limit around a step: what is awaited is left at once; a thread keeps its resources until it ends."""
    log: list[str] = []
    db, pool = Resource(log), Resource(log, "pool")
    go_on = threading.Event()

    async def awaiting(db: Resource, pool: Resource) -> int:
        if not go_on.is_set():
            await asyncio.Event().wait()
        return 1

    def plain(db: Resource, pool: Resource) -> int:
        go_on.wait(5)
        assert db.open
        assert pool.open
        return 1

    async def handle(ctx: Context) -> Any:
        actions: dict[str, Callable[..., Any]] = {
            "async": awaiting,
            "thread": plain,
            "awaitable": lambda db, pool: plain(db, pool) if go_on.is_set() else awaiting(db, pool),
        }
        step: Any = ctx.run_typed("step", actions[kind], RunOptions(type_hint=int))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await step
        if kind == "async":
            assert db.open == pool.open == 0
        if kind == "awaitable":
            return "left"
        go_on.set()
        return await step

    played = run_once(handle, step_managers=[pool.async_factory, db.factory])
    assert played.result == ("left" if kind == "awaitable" else 1)
    assert db.open == pool.open == 0
    if kind == "async":
        assert log[:4] == ["open pool for step", "open db for step", "CancelledError in step", "close db for step"]


def test_a_thread_outlives_nothing_that_it_uses() -> None:
    """The attempt ends while a thread executes: the manager on the event loop is closed after the thread's."""
    log: list[str] = []
    db, pool = Resource(log), Resource(log, "pool")
    go_on = threading.Event()

    def act(db: Resource, pool: Resource) -> None:
        go_on.wait(5)
        log.append("act")

    async def handle(ctx: Context) -> str:
        step = ctx.run_typed("step", act)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await step
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        return "done"

    assert run_once(handle, step_managers=[pool.async_factory, db.factory]).result == "done"
    assert log[-4:] == ["act", "close db for step", "CancelledError in step", "close pool for step"]


def test_a_blocking_handler_takes_no_asynchronous_manager() -> None:
    """The step fails, and the text says what to do."""
    options: RunOptions[None] = RunOptions(max_attempts=1)

    def handle(ctx: SyncContext) -> str:
        try:
            ctx.run_typed("step", lambda: None, options)
        except TerminalError as error:
            return error.message
        return "ran"

    message = run_once(handle, step_managers=[Resource([]).async_factory]).result
    assert "asynchronous step manager" in message


def test_an_async_action_of_a_blocking_handler_is_still_refused() -> None:
    """The managers change nothing about which actions there can be."""
    options: RunOptions[Any] = RunOptions(max_attempts=1)

    async def act(**given: Any) -> None:
        """Never runs."""

    def handle(ctx: SyncContext) -> str:
        try:
            _ = ctx.run_typed("step", act, options)
        except TerminalError as error:
            return error.message
        return "ran"

    assert "async action" in run_once(handle, step_managers=[Resource([]).factory]).result
