"""The client as a dependency: to call, send and attach from ordinary endpoints, `async def` and `def`."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from durably import Context, ObjectContext, RestateClient, Service
from durably.errors import UsageError
from durably_fastapi import DurableClient, DurableSyncClient, Durably


@pytest.fixture
def app() -> FastAPI:
    """Give an application with services of each kind, and ordinary endpoints that use them."""
    app = FastAPI()
    greeter = Service("greeter")

    @greeter.handler()
    async def greet(ctx: Context, name: str) -> str:
        return f"hello {name}"

    durably = Durably(app, url="memory://", services=[greeter])
    counter = durably.object("counter")

    @counter.handler()
    async def add(ctx: ObjectContext, amount: int) -> int:
        total = (await ctx.get("total", type_hint=int) or 0) + amount
        ctx.set("total", total)
        return total

    assert list(durably.services) == ["greeter", "counter"]

    @app.get("/greet/{name}")
    async def greeting(name: str, client: DurableClient) -> str:
        return await client.service_call(greet, name)

    @app.post("/add/{amount}")
    async def adding(amount: int, client: Annotated[RestateClient, Depends(durably.client)]) -> int:
        sent = await client.object_send(add, "k", amount, idempotency_key=f"add-{amount}")
        return await client.attach(sent.invocation_id)

    @app.get("/blocking/{name}")
    def blocking(name: str, client: DurableSyncClient) -> str:
        return client.service_call(greet, name)

    return app


def test_ordinary_endpoints_call_handlers(app: FastAPI):
    """Calls, sends and attachments work by alias and by method, and in a thread."""
    with TestClient(app) as client:
        assert client.get("/greet/ada").json() == "hello ada"
        assert [client.post(f"/add/{amount}").json() for amount in (1, 2, 2)] == [1, 3, 3]
        assert client.get("/blocking/grace").json() == "hello grace"


def test_overrides_replace_the_client(app: FastAPI):
    """A test can put something else in the place of the client, as of any dependency."""
    from durably_fastapi.client import current_client

    class Fake:
        async def service_call(self, handler: object, name: str) -> str:
            return f"fake {name}"

    app.dependency_overrides[current_client] = Fake
    with TestClient(app) as client:
        assert client.get("/greet/ada").json() == "fake ada"


def test_each_application_has_its_own():
    """A router that stands in two applications reaches the runtime of the one that was asked."""
    from fastapi import APIRouter

    router = APIRouter()

    @router.get("/same")
    async def same(client: DurableClient) -> str:
        return (await client.generic_call("which", "am_i", b"")).decode()

    def create_app(name: str) -> FastAPI:
        app = FastAPI()
        which = Durably(app, url="memory://").service("which")

        @which.handler("am_i")
        async def am_i(ctx: Context) -> str:
            return name

        app.include_router(router)
        return app

    with TestClient(create_app("a")) as first, TestClient(create_app("b")) as second:
        assert first.get("/same").json() == '"a"'
        assert second.get("/same").json() == '"b"'


def test_without_durably_the_message_says_so():
    """An application that was not taken over fails with a hint."""
    app = FastAPI()

    @app.get("/x")
    async def x(client: DurableClient) -> None: ...

    with TestClient(app) as client, pytest.raises(UsageError, match="without Durably"):
        client.get("/x")
