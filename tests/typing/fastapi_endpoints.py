"""The types of durable endpoints and of their dependencies. Read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, assert_type

from fastapi import Depends, FastAPI, Request

from durably import Context, ObjectContext, SendHandle, SyncContext, WorkflowContext
from durably.client import DurablyClient
from durably_fastapi import Durably, Edge, PerAttempt, Step
from durably_fastapi.markers import EdgeMark

app = FastAPI()
runtime = Durably(app)


@dataclass
class User:
    """Who calls."""

    name: str


class Session:
    """A database session."""

    def add(self, row: str) -> int:
        """Add a row."""
        return len(row)


async def get_db() -> AsyncIterator[Session]:
    """Give a session."""
    yield Session()


def get_user(request: Request) -> User:
    """Give who calls."""
    return User(request.headers["x-user"])


def identity(user: User) -> str:
    """Give what stays the same about a user."""
    return user.name


@app.post("/orders/{order_id}")
@runtime.endpoint
async def place(
    order_id: str,
    ctx: Context,
    user: Annotated[User, Depends(get_user), Edge(identity=identity)],
    db: Annotated[Session, Depends(get_db), Step],
    other: Annotated[Session, Depends(get_db), PerAttempt],
) -> list[int]:
    """Be an endpoint: parameters keep the types they are annotated with, marks or none."""
    assert_type(db, Session)
    assert_type(other, Session)
    assert_type(user, User)
    first = await ctx.run_typed("add", lambda: db.add(order_id))
    assert_type(first, int)
    return [first]


@app.post("/weight")
@runtime.endpoint(inactivity_timeout=timedelta(seconds=5), name="weigh")
def weight(kilograms: float, ctx: SyncContext) -> float:
    """Be a `def` endpoint with options."""
    return ctx.run_typed("double", lambda: kilograms * 2)


@app.post("/carts/{cart_id}")
@runtime.endpoint(key="cart_id")
async def add(cart_id: int, ctx: ObjectContext) -> str:
    """Be an endpoint of an object."""
    return ctx.key()


def check() -> None:
    """Keep the signatures of decorated functions, and the classes of marks."""
    kept: Callable[[float, SyncContext], float] = weight
    awaited: Callable[[int, ObjectContext], Coroutine[Any, Any, str]] = add
    assert_type(Edge(identity=identity), EdgeMark)
    _ = (kept, awaited)


@runtime.endpoint(workflow=True, key="email")
async def sign_up(email: str, ctx: WorkflowContext) -> bool:
    """Be a workflow."""
    return True


async def calls(ctx: Context, client: DurablyClient) -> None:
    """Endpoints are called with their values by name, and give what they return."""
    assert_type(await ctx.service_call(place, arg={"order_id": "A-1", "user": {"name": "ada"}}), list[int])
    assert_type(await ctx.call(place, {"order_id": "A-1"}), list[int])
    assert_type(await ctx.service_call(weight, {"kilograms": 1.5}), float)
    assert_type(await ctx.object_call(add, key="3", arg={"cart_id": 3}), str)
    assert_type(await ctx.workflow_call(sign_up, key="a@b", arg={"email": "a@b"}), bool)
    assert_type(ctx.service_send(place, {"order_id": "A-1"}), SendHandle)
    assert_type(await client.call(place, {"order_id": "A-1"}), list[int])
    assert_type(await client.service_call(weight, {"kilograms": 1.5}), float)
    await ctx.service_call(place, "A-1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await ctx.service_call(identity, {"user": 1})  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def calls_that_block(ctx: SyncContext) -> None:
    """So it is from a `def` handler."""
    assert_type(ctx.service_call(place, {"order_id": "A-1"}), list[int])
    assert_type(ctx.service_call(weight, {"kilograms": 1.5}), float)


async def as_written(ctx: Context, shared: ObjectContext) -> None:
    """Called directly, an endpoint has the signature that it was written with, and a name."""
    assert_type(weight(1.5, SyncContext(ctx)), float)
    assert_type(await add(3, shared), str)
    assert_type(place.__name__, str)
    await add("3", shared)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
