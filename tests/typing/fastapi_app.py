"""What type checkers see of `Durably`: services, decorators that keep signatures, clients with all their methods."""

from __future__ import annotations

from typing import Annotated, assert_type

from fastapi import Depends, FastAPI

from durably import Context, RestateClientSendHandle, Service, VirtualObject, Workflow
from durably_fastapi import DurableBackgroundTasks, DurableClient, DurableSyncClient, Durably
from durably_fastapi.client import AnyClient

app = FastAPI()
durably = Durably(app, url="memory://", prefix="/internal")
greeter = assert_type(durably.service("greeter", description="Greets."), Service)
assert_type(durably.object("cart"), VirtualObject)
assert_type(durably.workflow("approval"), Workflow)
durably.service(description="It has no name.")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@greeter.handler()
async def greet(ctx: Context, name: str) -> str:
    """Greet."""
    return f"hello {name}"


@app.post("/orders/{order_id}")
@durably.endpoint
async def place(order_id: int) -> str:
    """Keep its signature."""
    return str(order_id)


@app.post("/carts/{cart_id}")
@durably.endpoint(key="cart_id", shared=True, ingress_private=True)
def look(cart_id: str) -> list[str]:
    """Keep it below a decorator with arguments as well."""
    return [cart_id]


@durably.task
def write(address: str, *, copies: int = 1) -> None:
    """Be a task."""


async def check_decorated() -> None:
    """Call them as they were written."""
    assert_type(await place(1), str)
    assert_type(look("c"), list[str])
    write("ada", copies=2)


async def ordinary(client: DurableClient, tasks: DurableBackgroundTasks) -> None:
    """Use the client and the tasks."""
    assert_type(await client.call(greet, "ada"), str)
    assert_type(await client.send(greet, "ada"), RestateClientSendHandle)
    await client.resolve_awakeable("sign_1", "yes")
    tasks.add_task(write, "ada", copies=3)
    tasks.add_task(write, 5)  # type: ignore[arg-type,unused-ignore]  # pyright: ignore[reportArgumentType]


async def by_method(client: Annotated[AnyClient, Depends(durably.client)]) -> str:
    """Use the client of one `Durably`."""
    return await client.service_call(greet, "ada")


def blocking(client: DurableSyncClient) -> None:
    """Use the client that blocks."""
    assert_type(client.call(greet, "ada"), str)
