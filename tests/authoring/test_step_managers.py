"""Resources of single steps: when they are opened and closed, what actions get of them, what their failures mean."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import pytest

import durably
from durably import Context, RunOptions, SyncContext, gather
from durably.authoring.handlers import HandlerKind, ServiceKind
from durably.authoring.services import Service
from durably.authoring.signatures import (
    BoundParameter,
    HandlerSignature,
    add_binder,
    binder_step_managers,
    read_signature,
    remove_binder,
)
from durably.authoring.step_managers import StepInfo, StepManagerFactory
from durably.sync import gather as gather_blocking
from tests.authoring.playing import EVERYWHERE, Play, run_once
from tests.authoring.resources import Resource

second = timedelta(seconds=1)


@pytest.mark.parametrize("play", EVERYWHERE, indirect=True, ids=str)
def test_it_is_opened_for_executed_steps_only(play: Play) -> None:
    """In every setting: open at each execution, closed before the handler goes on, and never on a replay."""
    log: list[str] = []
    db = Resource(log)

    async def handle(ctx: Context) -> Any:
        async def act(db: Resource) -> int:
            log.append("act")
            return db.open

        assert db.open == 0
        first = await ctx.run_typed("first", act)
        assert db.open == 0
        await ctx.sleep(second)
        assert db.open == 0
        return first + await ctx.run_typed("second", act)

    def handle_blocking(ctx: SyncContext) -> Any:
        def act(db: Resource) -> int:
            log.append("act")
            return db.open

        assert db.open == 0
        first = ctx.run_typed("first", act)
        assert db.open == 0
        ctx.sleep(second)
        assert db.open == 0
        return first + ctx.run_typed("second", act)

    played = play(handle, handle_blocking, step_managers=[db.factory])
    assert played.result == 2
    assert log.count("open db for first") + log.count("open db for second") == log.count("act")
    assert log[:6] == [
        "open db for first",
        "act",
        "close db for first",
        "open db for second",
        "act",
        "close db for second",
    ]


@pytest.mark.parametrize("kind", ["async", "thread", "coroutine from a thread", "aside"])
@pytest.mark.parametrize("is_async_manager", [False, True])
def test_every_way_to_execute_a_step(kind: str, is_async_manager: bool) -> None:
    """Alone or beside others, awaiting or in a thread: the action runs inside, and its value is its own."""
    log: list[str] = []
    db = Resource(log)

    async def awaiting(number: int, db: Resource) -> int:
        await asyncio.sleep(0)
        assert db.open
        return number

    def plain(number: int, db: Resource) -> int:
        assert db.open
        return number

    async def handle(ctx: Context) -> Any:
        match kind:
            case "async":
                return [await ctx.run_typed("one", awaiting, RunOptions(), 1)]
            case "thread":
                return [await ctx.run_typed("one", plain, RunOptions(), 1)]
            case "aside":
                one = ctx.run_typed("one", awaiting, RunOptions(), 1)
                two = ctx.run_typed("two", plain, RunOptions(), 2)
                return [await each for each in await gather(one, two)]
            case _:
                return [await ctx.run_typed("one", lambda db: awaiting(1, db), RunOptions(type_hint=int))]

    factory = db.async_factory if is_async_manager else db.factory
    expected = [1, 2] if kind == "aside" else [1]
    assert run_once(handle, step_managers=[factory]).result == expected
    assert db.open == 0
    assert log.count("open db for one") == log.count("close db for one") == 1


def test_a_plain_function_has_its_resource_in_its_own_thread() -> None:
    """What is bound to a thread is opened, used and closed in one; what needs the event loop is around it."""
    log: list[str] = []
    inner, outer = Resource(log, "inner"), Resource(log, "outer")
    threads: list[int] = []

    def act(inner: Resource, outer: Resource) -> None:
        threads.append(threading.get_ident())
        assert inner.open
        assert outer.open

    async def handle(ctx: Context) -> None:
        threads.append(threading.get_ident())
        await ctx.run_typed("step", act)

    run_once(handle, step_managers=[inner.factory, outer.async_factory])
    assert [inner.thread, outer.thread] == [threads[1], threads[0]]
    assert threads[0] != threads[1]
    assert log == ["open outer for step", "open inner for step", "close inner for step", "close outer for step"]


def test_steps_on_helper_threads_of_a_blocking_handler() -> None:
    """Each has managers of its own, on the thread that executes it."""
    log: list[str] = []
    db = Resource(log)
    seen: list[bool] = []

    def act(db: Resource) -> None:
        seen.append(db.open > 0)

    def handle(ctx: SyncContext) -> None:
        gather_blocking(ctx.start.run_typed("one", act), ctx.start.run_typed("two", act))

    run_once(handle, step_managers=[db.factory])
    assert seen == [True, True]
    assert sorted(log) == ["close db for one", "close db for two", "open db for one", "open db for two"]


def test_the_first_manager_is_outermost_and_the_services_come_first() -> None:
    """Managers nest in the order service, handler; what the caller of the step gave wins over what they give."""
    log: list[str] = []
    outer, inner = Resource(log, "outer", number=1), Resource(log, "inner", number=2)
    service = Service("Nested", step_managers=[outer.factory])

    async def act(number: int, outer: Resource, inner: Resource) -> int:
        return number

    @service.handler(step_managers=[inner.factory])
    async def handle(ctx: Context) -> list[int]:
        return [await ctx.run_typed("kept", act), await ctx.run_typed("given", act, number=3)]  # type: ignore[call-arg]

    async def run() -> Any:
        async with durably.Engine("memory://", services=[service]) as engine:
            return await engine.client().call(handle)

    assert asyncio.run(run()) == [1, 3]
    assert log[:4] == ["open outer for kept", "open inner for kept", "close inner for kept", "close outer for kept"]


def test_what_a_factory_learns() -> None:
    """Name, action as it was given, arguments and context; it may decline."""
    infos: list[StepInfo] = []

    def factory(info: StepInfo) -> None:
        infos.append(info)

    async def act(one: int, *, two: int) -> int:
        return one + two

    async def handle(ctx: Context) -> Any:
        assert await ctx.time() > 0
        result = await ctx.run_typed("add", act, RunOptions(), 1, two=2)
        assert infos[0].context is ctx
        return result

    assert run_once(handle, step_managers=[factory]).result == 3
    assert [(info.name, info.action, info.arguments, info.keywords) for info in infos] == [
        ("add", act, (1,), {"two": 2})
    ]


def test_context_variables_reach_the_action() -> None:
    """What a manager sets is seen in the action, in a thread too."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    @contextmanager
    def manager() -> Iterator[None]:
        token = variable.set("set")
        yield
        variable.reset(token)

    async def awaiting() -> str:
        return variable.get()

    async def handle(ctx: Context) -> Any:
        return [await ctx.run_typed("a", awaiting), await ctx.run_typed("b", variable.get, RunOptions(type_hint=str))]

    assert run_once(handle, step_managers=[lambda info: manager()]).result == ["set", "set"]


class PlainBinder:
    """A binder that claims nothing."""

    def claims(self, parameter: Any, annotation: Any) -> bool:
        """Claim nothing."""
        return False

    def bind(
        self, function: Callable[..., Any], signature: HandlerSignature, claimed: tuple[BoundParameter, ...]
    ) -> Callable[..., Any]:
        """Change nothing."""
        return function


class StepOpeningBinder(PlainBinder):
    """A binder with a resource for every handler's steps."""

    def __init__(self, factory: StepManagerFactory) -> None:
        self.factory = factory

    def step_managers(self, function: Callable[..., Any], signature: HandlerSignature) -> Sequence[StepManagerFactory]:
        """Give the one."""
        return [self.factory]


def test_binders_add_step_managers() -> None:
    """A binder is asked at registration, whether or not it claims a parameter; one without any is not."""
    db = Resource([])
    plain, opening = PlainBinder(), StepOpeningBinder(db.factory)

    async def handle(ctx: Context) -> bool:
        async def act(db: Resource) -> bool:
            return db.open == 1

        return await ctx.run_typed("step", act)  # type: ignore[call-arg]

    add_binder(plain)
    add_binder(opening)
    try:
        signature = read_signature(handle, ServiceKind.SERVICE, HandlerKind.PLAIN, "Handler")
        assert binder_step_managers(handle, signature) == (db.factory,)
        assert run_once(handle).result is True
    finally:
        remove_binder(plain)
        remove_binder(opening)
    assert binder_step_managers(handle, signature) == ()
