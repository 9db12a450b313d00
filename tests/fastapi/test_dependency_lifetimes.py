"""The life of dependencies: opened on each attempt, closed in order at its end, cached in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, Request

from durably import Context, ObjectContext, SyncContext, TerminalError
from durably_fastapi import PerAttempt
from tests.fastapi.worlds import World

PAUSE = timedelta(milliseconds=1)


def test_yield_dependencies_of_attempts(world: World):
    """Opened in order on each attempt, closed in reverse order at its end, be it suspension, error or result."""

    async def outer() -> AsyncIterator[str]:
        world.log.append("+outer")
        try:
            yield "outer"
        except BaseException as error:
            world.log.append(type(error).__name__)
            raise
        finally:
            world.log.append("-outer")

    def inner(name: Annotated[str, Depends(outer)]) -> Iterator[str]:
        world.log.append("+inner")
        try:
            yield f"{name}/inner"
        finally:
            world.log.append("-inner")

    @world.app.post("/{kind}")
    @world.durably.endpoint(inactivity_timeout=timedelta(0))
    async def work(kind: str, name: Annotated[str, Depends(inner)], ctx: Context) -> str:
        await ctx.sleep(PAUSE)
        if kind == "fail":
            raise TerminalError("no", 409)
        if kind == "retry" and world.log.count("+outer") < 3:
            raise ConnectionError
        return name

    opened, closed = ["+outer", "+inner"], ["-inner", "-outer"]
    suspended = [*opened, "-inner", "SuspendedException", "-outer"]
    assert world.client.post("/fine").json() == "outer/inner"
    assert world.log == [*suspended, *opened, *closed]
    world.log.clear()
    assert world.client.post("/fail").status_code == 409
    assert world.log == [*suspended, *opened, "-inner", "TerminalError", "-outer"]
    world.log.clear()
    assert world.client.post("/retry").json() == "outer/inner"
    assert world.log == [*suspended, *opened, "-inner", "ConnectionError", "-outer", *opened, *closed]


def test_yield_dependencies_of_plain_functions(world: World):
    """`def` endpoints: plain dependencies in the handler's thread, asynchronous ones in one task beside it."""
    import asyncio
    import threading

    tasks: list[asyncio.Task[Any] | None] = []

    async def outer() -> AsyncIterator[str]:
        tasks.append(asyncio.current_task())
        world.log.append("+outer")
        try:
            yield "outer"
        finally:
            tasks.append(asyncio.current_task())
            world.log.append("-outer")

    async def middle(name: Annotated[str, Depends(outer)]) -> str:
        tasks.append(asyncio.current_task())
        return f"{name}/middle"

    def inner(name: Annotated[str, Depends(middle)]) -> Iterator[tuple[str, int]]:
        world.log.append("+inner")
        try:
            yield f"{name}/inner", threading.get_ident()
        finally:
            world.log.append("-inner")

    @world.app.post("/")
    @world.durably.endpoint(inactivity_timeout=timedelta(0))
    def work(name: Annotated[tuple[str, int], Depends(inner)], ctx: SyncContext) -> str:
        assert name[1] == threading.get_ident()
        ctx.sleep(PAUSE)
        return name[0]

    assert world.client.post("/").json() == "outer/middle/inner"
    assert world.log == ["+outer", "+inner", "-inner", "-outer"] * 2
    assert tasks[0] is not None
    assert tasks[:3] == [tasks[0]] * 3
    assert tasks[3:] == [tasks[3]] * 3


def test_the_event_loop_of_plain_functions(quiet_world: World):
    """Asynchronous dependencies of a `def` endpoint run on the application's own event loop: its pools live there."""
    import asyncio

    async def loop() -> int:
        return id(asyncio.get_running_loop())

    @quiet_world.app.post("/durable")
    @quiet_world.durably.endpoint
    def work(found: Annotated[int, Depends(loop)], ctx: SyncContext) -> int:
        return found

    @quiet_world.app.post("/plain")
    async def plain() -> int:
        return await loop()

    assert quiet_world.client.post("/durable").json() == quiet_world.client.post("/plain").json()


def test_a_failing_clean_up_fails_the_attempt(world: World):
    """A commit that fails after `yield` is retried with the attempt; the caller sees the second result."""

    async def session() -> AsyncIterator[int]:
        world.log.append("open")
        number = len(world.log)
        yield number
        if number == 1:
            raise ConnectionError

    @world.app.post("/")
    @world.durably.endpoint
    async def work(number: Annotated[int, Depends(session)]) -> int:
        return number

    assert world.client.post("/").json() == 2


@pytest.mark.parametrize("is_async", [True, False])
def test_dependencies_cannot_swallow(world: World, is_async: bool):
    """A dependency that catches everything and goes on hides neither an error nor a suspension."""

    async def swallow_async() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            world.log.append(type(error).__name__)

    def swallow() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            world.log.append(type(error).__name__)

    async def work(_: Annotated[None, Depends(swallow_async)], ctx: Context) -> str:
        await ctx.sleep(PAUSE)
        raise TerminalError("no", 409)

    def work_plain(_: Annotated[None, Depends(swallow)], ctx: SyncContext) -> str:
        ctx.sleep(PAUSE)
        raise TerminalError("no", 409)

    function = work if is_async else work_plain
    world.app.post("/")(world.durably.endpoint(inactivity_timeout=timedelta(0))(function))
    assert world.client.post("/").status_code == 409
    assert world.log == ["SuspendedException", "TerminalError"]


def test_the_edge_is_closed_before_waiting(world: World):
    """What the edge's `yield` dependencies hold is given back before the handler begins, once, and in order."""

    async def connection(request: Request) -> AsyncIterator[str]:
        world.log.append("+connection")
        yield "c"
        world.log.append("-connection")

    def cursor(c: str = Depends(connection, scope="request")) -> Iterator[str]:
        world.log.append("+cursor")
        yield f"{c}/cursor"
        world.log.append("-cursor")

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context, name: Annotated[str, Depends(cursor)]) -> str:
        world.log.append("work")
        return name

    assert world.client.post("/").json() == "c/cursor"
    assert world.log == ["+connection", "+cursor", "-cursor", "-connection", "work"]


def test_sub_dependencies_are_cached(world: World):
    """One call for all that ask, unless they say `use_cache=False`; anew on the next attempt."""

    def count() -> int:
        world.log.append("count")
        return len(world.log)

    def one(n: Annotated[int, Depends(count)]) -> int:
        return n

    async def other(n: Annotated[int, Depends(count)], fresh: Annotated[int, Depends(count, use_cache=False)]) -> Any:
        return [n, fresh]

    @world.app.post("/")
    @world.durably.endpoint
    async def work(a: Annotated[int, Depends(one)], b: Annotated[Any, Depends(other), PerAttempt]) -> Any:
        return [a, b]

    assert world.client.post("/").json() == [1, [1, 2]]
    assert world.client.post("/").json() == [3, [3, 4]]


def test_the_context_at_any_depth(world: World):
    """A dependency of a dependency of a dependency uses the context; its steps are replayed with the rest."""

    async def third(ctx: Context) -> int:
        return await ctx.run_typed("third", lambda: world.log.append("third") or 3)

    async def second(n: Annotated[int, Depends(third)], ctx: ObjectContext) -> str:
        count = (await ctx.get("count", type_hint=int) or 0) + 1
        ctx.set("count", count)
        return f"{ctx.key()} {n} {count}"

    def first(text: Annotated[str, Depends(second)], ctx: ObjectContext) -> str:
        return f"{ctx.key()}: {text}"

    @world.app.post("/{name}")
    @world.durably.endpoint(key="name")
    async def work(name: str, text: Annotated[str, Depends(first)], ctx: ObjectContext) -> str:
        await ctx.sleep(PAUSE)
        return text

    assert world.client.post("/a").json() == "a: a 3 1"
    assert world.client.post("/a").json() == "a: a 3 2"
    assert world.log == ["third", "third"]


def test_the_context_at_any_depth_of_plain_functions(world: World):
    """The same for `def` endpoints, whose dependencies block."""

    def second(ctx: SyncContext) -> int:
        return ctx.run_typed("second", lambda: world.log.append("second") or 2)

    def first(n: Annotated[int, Depends(second)], context: Annotated[SyncContext, "documented"]) -> Iterator[str]:
        yield f"{n} {context.request().id[:4]}"

    @world.app.post("/")
    @world.durably.endpoint
    def work(text: Annotated[str, Depends(first)]) -> str:
        return text

    assert world.client.post("/").json() == "2 inv_"
    assert world.log == ["second"]
