"""Background tasks: stored before the answer leaves, only when the endpoint succeeded, and only what was registered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient

from durably import Context
from durably.errors import EngineStoppedError, RegistrationError, UsageError
from durably_fastapi import DurableBackgroundTasks, Durably


@dataclass
class Parcel:
    """An argument that is more than a word."""

    weight: float
    due: date


def eventually(condition: Callable[[], object]) -> None:
    """Wait until it holds."""
    deadline_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def app() -> FastAPI:
    """Give an application."""
    return FastAPI()


@pytest.fixture
def durably(app: FastAPI) -> Durably:
    """Give its runtime."""
    return Durably(app, url="memory://")


def test_tasks_run_with_their_arguments(app: FastAPI, durably: Durably):
    """Positional and named arguments, defaults and types arrive as they were, in `def` and `async def` tasks."""
    seen: list[object] = []

    @durably.task
    def deliver(parcel: Parcel, to: str, *, times: int = 1) -> None:
        seen.append((parcel, to, times))

    @durably.task(name="call_by_phone")
    async def call(numbers: list[int]) -> str:
        seen.append(numbers)
        return "a result that nobody sees"

    @app.post("/parcels")
    async def send(tasks: DurableBackgroundTasks) -> str:
        tasks.add_task(deliver, Parcel(1.5, date(2030, 1, 2)), to="ada")
        tasks.add_task(deliver, Parcel(2, date(2030, 1, 3)), "grace", times=2)
        tasks.add_task(call, numbers=[1, 2])
        assert not seen
        return "soon"

    with TestClient(app) as client:
        assert client.post("/parcels").json() == "soon"
        eventually(lambda: len(seen) == 3)
    assert (Parcel(1.5, date(2030, 1, 2)), "ada", 1) in seen
    assert (Parcel(2.0, date(2030, 1, 3)), "grace", 2) in seen
    assert [1, 2] in seen
    assert sorted(durably.services["test_tasks_tasks"].handlers) == ["call_by_phone", "deliver"]


def test_a_task_is_retried(app: FastAPI, durably: Durably):
    """A task that fails runs again, with its dependencies, and what it recorded is not repeated."""
    seen: list[str] = []
    opened: list[str] = []

    def connection() -> Iterator[str]:
        opened.append("open")
        yield "connection"
        opened.append("close")

    @durably.task
    async def sync_stock(warehouse: str, ctx: Context, db: Annotated[str, Depends(connection)]) -> None:
        await ctx.run_typed("read", lambda: seen.append(f"read {warehouse} by {db}"))
        if opened.count("open") == 1:
            raise ConnectionError("try again")
        await ctx.run_typed("write", lambda: seen.append("write"))

    @app.post("/stock")
    async def stock(tasks: DurableBackgroundTasks) -> None:
        tasks.add_task(sync_stock, "north")

    with TestClient(app) as client:
        client.post("/stock")
        eventually(lambda: "write" in seen)
    assert seen == ["read north by connection", "write"]
    assert opened.count("open") == 2


@pytest.mark.parametrize("error", [HTTPException(418), RuntimeError("broken")])
def test_nothing_is_sent_when_the_endpoint_fails(app: FastAPI, durably: Durably, error: Exception):
    """An endpoint that raises, with a status or without, sends no task."""
    seen: list[str] = []

    @durably.task
    def note(word: str) -> None:
        seen.append(word)

    @app.post("/fails")
    def fails(tasks: DurableBackgroundTasks) -> None:
        tasks.add_task(note, "lost")
        raise error

    @app.post("/works")
    def works(tasks: DurableBackgroundTasks) -> None:
        tasks.add_task(note, "kept")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.post("/fails").status_code in (418, 500)
        assert client.post("/works").status_code == 200
        eventually(lambda: seen)
    assert seen == ["kept"]


def test_one_list_for_a_request(app: FastAPI, durably: Durably):
    """Dependencies and the endpoint add to the same tasks, beside FastAPI's own, which still run."""
    seen: list[str] = []

    @durably.task
    def note(word: str) -> None:
        seen.append(word)

    def audit(tasks: DurableBackgroundTasks) -> None:
        tasks.add_task(note, "audit")

    @app.post("/both", dependencies=[Depends(audit)])
    def both(tasks: DurableBackgroundTasks, plain: BackgroundTasks) -> None:
        tasks.add_task(note, "endpoint")
        plain.add_task(seen.append, "plain")

    with TestClient(app) as client:
        client.post("/both")
        eventually(lambda: len(seen) == 3)
    assert sorted(seen) == ["audit", "endpoint", "plain"]


def test_what_cannot_be_stored_is_answered_with_503(app: FastAPI, durably: Durably, monkeypatch: pytest.MonkeyPatch):
    """When the runtime takes nothing, the caller learns it instead of the endpoint's answer."""

    @durably.task
    def note(word: str) -> None:
        raise AssertionError("it was never stored")

    @app.post("/notes")
    def notes(tasks: DurableBackgroundTasks) -> str:
        tasks.add_task(note, "a")
        return "taken"

    with TestClient(app) as client:

        async def refuse(*_: object) -> None:
            raise EngineStoppedError("it stops")

        monkeypatch.setattr("durably.engine.client.EngineClient.generic_send", refuse)
        answer = client.post("/notes")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_only_registered_functions_run(app: FastAPI, durably: Durably):
    """Anything else, arguments that do not fit, and tasks that come too late are refused where they are added."""

    def stranger() -> None:
        """Be no task."""

    @durably.task
    def note(count: int) -> None:
        """Be one."""

    refused: list[str] = []

    @app.post("/wrong")
    def wrong(tasks: DurableBackgroundTasks, plain: BackgroundTasks) -> None:
        for add in (
            lambda: tasks.add_task(stranger),
            lambda: tasks.add_task(note, "many"),
            lambda: tasks.add_task(note),
            lambda: tasks.add_task(note, 1, 2),
        ):
            with pytest.raises(UsageError) as caught:
                add()
            refused.append(str(caught.value))

        def too_late() -> None:
            with pytest.raises(UsageError) as caught:
                tasks.add_task(note, 1)
            refused.append(str(caught.value))

        plain.add_task(too_late)

    with TestClient(app) as client:
        assert client.post("/wrong").status_code == 200
    assert "no durable task" in refused[0]
    assert all("cannot be added" in text for text in refused[1:4])
    assert "has left" in refused[4]


def test_what_cannot_be_a_task(durably: Durably):
    """A request cannot be stored, and a value without a type cannot be read back."""
    with pytest.raises(RegistrationError, match="request"):

        @durably.task
        def asks(request: Request) -> None: ...

    with pytest.raises(RegistrationError, match="no annotation"):

        @durably.task
        def untyped(word) -> None: ...  # noqa: ANN001

    @durably.task
    def once(word: str) -> None: ...

    with pytest.raises(RegistrationError, match="once"):

        @durably.task(name="once")
        def again(word: str) -> None: ...


def test_without_durably_the_message_says_so():
    """An application that was not taken over fails with a hint, not with an attribute error."""
    app = FastAPI()

    @app.post("/x")
    def x(tasks: DurableBackgroundTasks) -> None: ...

    with TestClient(app) as client, pytest.raises(UsageError, match="without Durably"):
        client.post("/x")
