"""What stands in the wrong place: contexts in plain routes, decorators in the wrong order, clients in durable ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from durably import Context, SyncContext
from durably.errors import RegistrationError
from durably_fastapi import DurableBackgroundTasks, DurableClient, DurableSyncClient, Durably, PerAttempt

app = FastAPI()
durably = Durably(app, url="memory://")


async def by_alias(client: DurableClient, ctx: Context) -> None: ...
def by_blocking_alias(client: DurableSyncClient, ctx: SyncContext) -> None: ...
async def by_method(client: Annotated[Any, Depends(durably.client)], ctx: Context) -> None: ...
async def marked(client: Annotated[Any, Depends(durably.client), PerAttempt], ctx: Context) -> None: ...
def by_blocking_method(client: Annotated[Any, Depends(durably.sync_client)], ctx: SyncContext) -> None: ...
async def tasks(tasks: DurableBackgroundTasks, ctx: Context) -> None: ...


class Repository:
    """Asks for the context, so it runs on attempts, and for the client."""

    def __init__(self, ctx: Context, client: DurableClient) -> None: ...


async def below(repository: Annotated[Repository, Depends()]) -> None: ...


@pytest.mark.parametrize("function", [by_alias, by_method, marked, by_blocking_alias, by_blocking_method, below])
def test_the_client_in_durable_functions(function: Callable[..., Any]):
    """An endpoint that asks for it, at any depth, is refused, and told what to call instead."""
    with pytest.raises(RegistrationError, match=r"`client` of .* acts outside of the journal.* ctx.service_call"):
        durably.endpoint(function)


def test_tasks_in_durable_functions():
    """They are refused as well; a step or a message takes their place."""
    with pytest.raises(RegistrationError, match=r"`tasks` of .* acts outside of the journal.* step with ctx.run_typed"):
        durably.endpoint(tasks)


def test_the_client_in_handlers():
    """A service's handler is told the same."""
    service = durably.service("Misplaced")

    async def handle(ctx: Context, number: int, client: DurableClient) -> None: ...

    with pytest.raises(RegistrationError, match=r"`client` of .* ctx\.service_call"):
        service.handler()(handle)


def test_the_client_at_the_edge():
    """A dependency that runs once, when the call arrives, may use it."""
    other = FastAPI()
    runtime = Durably(other, url="memory://")
    counted = runtime.service("Counted")

    @counted.handler()
    async def count(ctx: Context, text: str) -> int:
        return len(text)

    async def quota(user: str, client: DurableClient) -> int:
        return await client.service_call(count, user)

    @other.get("/")
    @runtime.endpoint
    async def show(left: Annotated[int, Depends(quota)], ctx: Context) -> int:
        return left

    with TestClient(other) as client:
        assert client.get("/", params={"user": "ada"}).json() == 3


@pytest.mark.parametrize("context", [Context, SyncContext])
def test_a_context_in_a_plain_route(context: type[Any]):
    """The decorator was forgotten, or stands above the route's: the message says so."""

    async def plain(ctx: Any) -> None: ...

    plain.__annotations__["ctx"] = context
    with pytest.raises(RegistrationError, match=r"no data.* @durably\.endpoint below the decorator of the route"):
        app.post("/")(plain)


def test_decorators_in_the_wrong_order():
    """An endpoint without a context would be served plain; the application does not start."""
    other, router = FastAPI(), APIRouter()
    runtime = Durably(other, url="memory://")

    @runtime.endpoint
    @router.post("/orders")
    async def place(item: str) -> str:
        return item

    other.include_router(router, prefix="/api")
    with (
        pytest.raises(RegistrationError, match=r"The route /api/orders leads to .*place itself.* not above it"),
        TestClient(other),
    ):
        pass


def test_a_function_that_is_served_twice():
    """Plain on one route and durable on another is nothing wrong."""
    other = FastAPI()
    runtime = Durably(other, url="memory://")

    async def place(item: str) -> str:
        return item

    other.get("/plain")(place)
    other.get("/durable")(runtime.endpoint(place))
    with TestClient(other) as client:
        assert [client.get(path, params={"item": "a"}).json() for path in ("/plain", "/durable")] == ["a", "a"]


def test_unknown_options():
    """The message has the names of those that there are."""
    options: Any = {"retry_policy": 5}
    with pytest.raises(RegistrationError, match=r"no option 'retry_policy'.*There are .*key.*invocation_retry_policy"):
        durably.endpoint(**options)(lambda: None)
