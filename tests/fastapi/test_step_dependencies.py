"""Dependencies of steps: opened when a step executes, closed right after it, and part of its outcome."""

# ruff: noqa: B008 - `Depends` as a default is what is tested

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import Depends, HTTPException, Request

from durably import Context, Service, SyncContext, TerminalError
from durably.asyncio import gather
from durably.errors import UsageError
from durably_fastapi import Step
from tests.fastapi.worlds import World

PAUSE = timedelta(milliseconds=1)


class Session:
    """A session that writes down its life."""

    def __init__(self, log: list[str], name: str = "session") -> None:
        self.log = log
        self.name = name
        self.rows = [1, 2, 3]
        log.append(f"+{name}")

    def add(self, row: str) -> str:
        """Add a row."""
        self.log.append(row)
        return row

    def close(self) -> None:
        """Close it."""
        self.log.append(f"-{self.name}")


def add_row(db: Session, row: str) -> None:
    """Take the session as an argument."""
    db.add(row)


def test_handles(world: World):
    """A `Step` parameter is, inside each step, what was opened for it, and outside of steps a clear error."""

    def get_db() -> Iterator[Session]:
        session = Session(world.log)
        try:
            yield session
        finally:
            session.close()

    @world.app.post("/")
    @world.durably.endpoint
    async def work(db: Annotated[Session, Depends(get_db), Step], ctx: Context) -> str:
        await ctx.run_typed("plain", lambda: db.add("a"))

        async def act() -> str:
            return db.add("b")

        await ctx.run_typed("async", act)
        await ctx.run_typed("as an argument", add_row, db=db, row="c")
        await ctx.sleep(PAUSE)
        try:
            db.add("never")
        except Exception as error:
            return str(error)
        return ""

    text = world.client.post("/").json()
    assert "get_db` is opened inside each step" in text
    assert "ctx.run" in text
    assert world.log == ["+session", "a", "-session", "+session", "b", "-session", "+session", "c", "-session"]


def test_handles_below(world: World):
    """A dependency of the attempt may hold one of steps, which is opened in each step all the same, once."""

    def get_db() -> Iterator[Session]:
        session = Session(world.log)
        yield session
        session.close()

    class Repository:
        def __init__(self, db: Annotated[Session, Depends(get_db), Step], ctx: Context) -> None:
            world.log.append("repository")
            self.db = db

        def save(self, row: str) -> str:
            return self.db.add(row)

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        repository: Annotated[Repository, Depends()], db: Annotated[Session, Depends(get_db), Step], ctx: Context
    ) -> bool:
        def act() -> bool:
            repository.save("a")
            return repr(db) == repr(repository.db)

        return await ctx.run_typed("save", act)

    assert world.client.post("/").json() is True
    assert [each for each in world.log if each != "repository"] == ["+session", "a", "-session"]


def test_handles_stand_for_everything(quiet_world: World):
    """Attributes, items, iteration, calls, truth and context managers reach what was opened."""

    class Everything(Session):
        value = 1

        def __getitem__(self, index: int) -> int:
            return self.rows[index]

        def __setitem__(self, index: int, value: int) -> None:
            self.rows[index] = value

        def __delitem__(self, index: int) -> None:
            del self.rows[index]

        def __len__(self) -> int:
            return len(self.rows)

        def __iter__(self) -> Iterator[int]:
            return iter(self.rows)

        def __contains__(self, item: object) -> bool:
            return item in self.rows

        def __call__(self, number: int) -> int:
            return number * 2

        def __enter__(self) -> str:
            return "entered"

        def __exit__(self, *error: object) -> None:
            self.log.append("left")

    def get_db() -> Everything:
        return Everything(quiet_world.log)

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint
    async def work(db: Annotated[Any, Depends(get_db), Step], ctx: Context) -> list[Any]:
        outside = repr(db)

        def use() -> list[Any]:
            db.value = 5
            db[0] = 7
            del db[1]
            with db as entered:
                return [db.value, db[0], len(db), list(db), 7 in db, db(4), bool(db), entered, "Everything" in repr(db)]

        return [outside, *await ctx.run_typed("use", use)]

    here = f"{__name__}.test_handles_stand_for_everything.<locals>.get_db"
    assert quiet_world.client.post("/").json() == [
        f"<StepHandle {here}, not in a step>", 5, 7, 2, [7, 3], True, 8, True, "entered", True,
    ]  # fmt: skip


@pytest.mark.parametrize("is_async", [True, False])
def test_step_functions(world: World, is_async: bool):
    """A step's own function may have dependencies; those that are given are not opened."""

    async def get_name(prefix: str = "db") -> str:
        return prefix

    async def get_async(name: str = Depends(get_name)) -> AsyncIterator[Session]:
        session = Session(world.log, f"{name}-async")
        yield session
        session.close()

    def get_plain() -> Iterator[Session]:
        session = Session(world.log, "plain")
        yield session
        session.close()

    def save(row: str, db: Session = Depends(get_async), other: Session = Depends(get_plain)) -> str:
        return db.add(row) + other.add(row)

    async def save_async(row: str, *, db: Session = Depends(get_plain)) -> str:
        return db.add(row)

    async def work(ctx: Context) -> list[str]:
        given = Session([], "given")
        return [
            await ctx.run_typed("save", save, row="a"),
            await ctx.run_typed("save", save, row="b", db=given, other=given),
            await ctx.run_typed("save", save_async, row="c"),
        ]

    def work_plain(ctx: SyncContext) -> list[str]:
        given = Session([], "given")
        return [ctx.run_typed("save", save, row="a"), ctx.run_typed("save", save, row="b", db=given, other=given), "c"]

    world.app.post("/")(world.durably.endpoint(work if is_async else work_plain))
    assert world.client.post("/").json() == ["aa", "bb", "c"]
    expected = ["+db-async", "+plain", "a", "a", "-plain", "-db-async"]
    assert world.log == [*expected, *(["+plain", "c", "-plain"] if is_async else [])]


def test_a_failing_clean_up_fails_the_step(world: World):
    """A commit after `yield` that fails: the step is not recorded and executes again."""

    async def get_db() -> AsyncIterator[Session]:
        session = Session(world.log)
        yield session
        if world.log.count("commit") < 2:
            session.add("commit")
            raise ConnectionError
        session.add("committed")

    def save(db: Session = Depends(get_db)) -> str:
        return db.add("row")

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> str:
        return await ctx.run_typed("save", save)

    assert world.client.post("/").json() == "row"
    failed, done = ["+session", "row", "commit"], ["+session", "row", "committed"]
    assert world.log == [*failed, *failed, *done]


def test_a_refusing_commit_ends_the_work(world: World):
    """A clean-up that raises an HTTP exception makes the step fail for good."""

    def get_db() -> Iterator[None]:
        yield
        raise HTTPException(409, "conflict")

    @world.app.post("/")
    @world.durably.endpoint
    async def work(db: Annotated[None, Depends(get_db), Step], ctx: Context) -> str:
        return await ctx.run_typed("save", lambda: "x")

    answer = world.client.post("/")
    assert (answer.status_code, answer.json()) == (409, {"detail": "conflict"})


@pytest.mark.parametrize("is_async", [True, False])
def test_dependencies_cannot_swallow_a_failed_step(world: World, is_async: bool):
    """One that catches everything, rolls back and goes on does not turn a failed step into a recorded None."""

    def get_db() -> Iterator[None]:
        try:
            yield
        except Exception:
            world.log.append("rollback")

    def save(db: None = Depends(get_db)) -> str:
        if len(world.log) < 2:
            raise ConnectionError
        return "saved"

    async def work(ctx: Context) -> str:
        return await ctx.run_typed("save", save)

    def work_plain(ctx: SyncContext) -> str:
        return ctx.run_typed("save", save)

    world.app.post("/")(world.durably.endpoint(work if is_async else work_plain))
    assert world.client.post("/").json() == "saved"
    assert world.log == ["rollback", "rollback"]


def test_plain_handlers(world: World):
    """In `def` endpoints steps open plain dependencies in their thread and asynchronous ones on the event loop."""
    import threading

    async def get_async() -> AsyncIterator[Session]:
        session = Session(world.log, "async")
        yield session
        session.close()

    def get_db(other: Annotated[Session, Depends(get_async)]) -> Iterator[tuple[int, Session]]:
        yield threading.get_ident(), other

    @world.app.post("/")
    @world.durably.endpoint
    def work(db: Annotated[tuple[int, Session], Depends(get_db), Step], ctx: SyncContext) -> bool:
        same = ctx.run_typed("one", lambda: db[0] == threading.get_ident())
        ctx.sleep(PAUSE)
        first, second = ctx.start.run_typed("two", lambda: db[1].name), ctx.start.run_typed("three", lambda: db[1].name)
        return same and [first.result(), second.result()] == ["async", "async"]

    assert world.client.post("/").json() is True
    assert world.log == ["+async", "-async"] * 3


def test_steps_at_once_have_sessions_of_their_own(world: World):
    """Handles in concurrent steps stand for different sessions."""
    import asyncio

    numbers = iter(range(100))

    def get_db() -> Iterator[int]:
        yield next(numbers)

    @world.app.post("/")
    @world.durably.endpoint
    async def work(db: Annotated[Any, Depends(get_db), Step], ctx: Context) -> int:
        async def act() -> int:
            first = int(repr(db))
            await asyncio.sleep(0.001)
            assert first == int(repr(db))
            return first

        found = await gather(*(ctx.run_typed(f"{index}", act) for index in range(5)))
        return len({await each for each in found})

    assert world.client.post("/").json() == 5


def test_overrides_and_values_in_steps(world: World):
    """Step dependencies obey overrides, and read what the call carried."""

    def get_db(tenant: str) -> str:
        return f"real {tenant}"

    def fake(tenant: str) -> str:
        return f"fake {tenant}"

    def name(db: str = Depends(get_db)) -> str:
        return db

    @world.app.post("/{tenant}")
    @world.durably.endpoint
    async def work(db: Annotated[str, Depends(get_db), Step], ctx: Context) -> list[str]:
        return [await ctx.run_typed("one", lambda: repr(db)), await ctx.run_typed("two", name)]

    assert world.client.post("/a").json() == ["'real a'", "real a"]
    world.app.dependency_overrides[get_db] = fake
    assert world.client.post("/a").json() == ["'fake a'", "fake a"]


def test_misuse_in_steps_is_a_clear_error(quiet_world: World):
    """A step function whose dependency needs the request or the context fails with what to do, and is not recorded."""

    def on_request(request: Request) -> str:
        return "x"

    def on_context(ctx: Context) -> str:
        return "x"

    def first(value: str = Depends(on_request)) -> str:
        return value

    def second(value: str = Depends(on_context)) -> str:
        return value

    seen: list[str] = []

    def note(error: Exception) -> None:
        seen.append(str(error))

    def terminal(error: UsageError) -> TerminalError:
        note(error)
        return TerminalError("misuse", 500)

    @quiet_world.app.post("/{kind}")
    @quiet_world.durably.endpoint(failures={UsageError: terminal})
    async def work(kind: str, ctx: Context) -> str:
        return await ctx.run_typed("step", first if kind == "request" else second)

    quiet_world.client.post("/request")
    quiet_world.client.post("/context")
    assert "HTTP call" in seen[0]
    assert "context" in seen[1]


def test_service_handlers(world: World):
    """Handlers of services, also of those that were made without an application, have dependencies too."""
    shop = Service("shop")

    def get_name(ctx: Context, prefix: str = "p") -> str:
        return f"{prefix} {ctx.request().id[:4]}"

    async def get_db() -> AsyncIterator[Session]:
        session = Session(world.log, "db")
        yield session
        session.close()

    def save(row: str, db: Session = Depends(get_db)) -> str:
        return db.add(row)

    @shop.handler()
    async def place(
        ctx: Context,
        amount: int,
        name: Annotated[str, Depends(get_name)],
        db: Annotated[Session, Depends(get_db), Step],
    ) -> list[Any]:
        saved = await ctx.run_typed("save", save, row="row")
        named = await ctx.run_typed("named", lambda: db.name)
        return [amount, name, saved, named]

    @shop.handler()
    def ping(ctx: SyncContext, name: str = Depends(lambda: "ada")) -> str:
        return name

    world.durably.bind(shop)

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> list[Any]:
        return [await ctx.service_call(place, arg=3), await ctx.service_call(ping, arg=None)]

    assert world.client.post("/").json() == [[3, "p inv_", "row", "db"], "ada"]
    assert world.log == ["+db", "row", "-db", "+db", "-db"]
    world.app.dependency_overrides[get_name] = lambda: "override"
    assert world.client.post("/").json()[0][1] == "override"
