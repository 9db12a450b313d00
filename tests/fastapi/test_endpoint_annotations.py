"""Annotations that are types, not text: a module without `from __future__ import annotations`, and what callers see.

The other modules here have that import, so that both ways of writing are covered.
"""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Generic, Optional, TypeVar, Union

import pytest
from fastapi import Body, Depends, Query
from pydantic import BaseModel, Field

from durably import Context, ObjectContext, Service, SyncContext, WorkflowContext
from durably.authoring.current import current_context
from durably.errors import SerdeError
from durably.protocol.manifest import ManifestVersion, ProtocolMode, render_manifest
from durably_fastapi.endpoint import find_endpoint
from tests.fastapi.worlds import World

T = TypeVar("T")


class Item(BaseModel):
    """A body."""

    name: str
    price: float | None = None


class Envelope(BaseModel, Generic[T]):
    """A generic."""

    content: T


def paging(limit: int = 10) -> int:
    """Read a parameter."""
    return limit


Limit = Annotated[int, Depends(paging)]
Name = Annotated[str, Query(min_length=2)]
Nested = Annotated[Name, Field(description="twice annotated")]


def test_unions_aliases_and_generics(world: World):
    """PEP 604, `Optional`, `Union`, aliases of `Annotated`, aliases of aliases, and generics."""

    async def work(
        limit: Limit,
        nested: Nested,
        number: int | str,
        maybe: Optional[int] = None,  # noqa: UP045 - the older form is what is tested
        either: Union[int, None] = None,  # noqa: UP007
        envelope: Annotated[Envelope[list[Item]] | None, Body()] = None,
    ) -> list[Any]:
        return [limit, nested, number, maybe, either, envelope]

    compare = world.twins("/work", work)
    compare("/work?nested=ab&number=1&limit=3", 200)
    compare("/work?nested=ab&number=x&maybe=1&either=2", 200, json={"content": [{"name": "a"}]})
    compare("/work?nested=a&number=x", 422)


def test_no_context_and_any_name(world: World):
    """The context may stand anywhere under any name, twice, or be asked for below the endpoint."""

    async def second(context: Context) -> str:
        return context.invocation_id

    @world.app.post("/two")
    @world.durably.endpoint
    async def two(size: int, a: Context, b: Annotated[Context, "same"], below: str = Depends(second)) -> bool:
        return a is b and below == a.invocation_id and size == 1

    @world.app.post("/none")
    @world.durably.endpoint
    async def none() -> int:
        return await current_context().run_typed("step", lambda: 3)

    assert world.client.post("/two?size=1").json() is True
    assert world.client.post("/none").json() == 3


def test_wrapped_functions(world: World):
    """Decorators that keep the signature, partials and objects with `__call__` can be endpoints."""

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            world.log.append("called")
            return await function(*args, **kwargs)

        return wrapper

    class Adder:
        async def __call__(self, a: int, b: int) -> int:
            return a + b

    @logged
    async def work(a: int, ctx: Context) -> int:
        return a

    async def add(a: int, b: int) -> int:
        return a + b

    world.app.post("/wrapped")(world.durably.endpoint(work))
    world.app.post("/partial")(world.durably.endpoint(functools.partial(add, b=2)))
    world.app.post("/object")(world.durably.endpoint(Adder()))
    assert world.client.post("/wrapped?a=3").json() == 3
    assert world.log == ["called"]
    assert world.client.post("/partial?a=3").json() == 5
    assert world.client.post("/object?a=3&b=4").json() == 7


def test_objects_and_workflows(world: World):
    """`key=` keeps state for each value of a parameter; `workflow=True` runs once for each key."""

    @world.app.post("/carts/{cart_id}")
    @world.durably.endpoint(key="cart_id")
    async def add(cart_id: int, item: Item, ctx: ObjectContext) -> list[str]:
        names = await ctx.get("names", type_hint=list[str]) or []
        ctx.set("names", [*names, item.name])
        await ctx.sleep(timedelta(milliseconds=1))
        return [ctx.key(), *names]

    @world.app.post("/onboard/{user}")
    @world.durably.endpoint(workflow=True, key="user")
    async def onboard(user: str, ctx: WorkflowContext) -> str:
        world.log.append(ctx.key())
        return f"welcome {user}"

    @world.app.post("/report")
    @world.durably.endpoint(workflow=True)
    async def report(ctx: WorkflowContext) -> str:
        return ctx.key()

    assert world.client.post("/carts/1", json={"name": "a"}).json() == ["1"]
    assert world.client.post("/carts/1", json={"name": "b"}).json() == ["1", "a"]
    assert world.client.post("/carts/2", json={"name": "c"}).json() == ["2"]
    assert world.client.post("/onboard/ada").json() == "welcome ada"
    assert world.client.post("/onboard/ada").json() == "welcome ada"
    assert world.log == ["ada"]
    keyed = {"idempotency-key": "k"}
    assert world.client.post("/report", headers=keyed).json() == world.client.post("/report", headers=keyed).json()
    assert world.client.post("/report").json() != world.client.post("/report").json()


def test_other_services_call_endpoints(world: World):
    """The route's function is the reference of its handler: a mapping of names goes in, the typed result comes out."""
    other = Service("other")

    @world.app.post("/items/{item_id}")
    @world.durably.endpoint
    async def store(item_id: int, item: Item, limit: Limit, note: str = "none") -> Item:
        return Item(name=f"{item_id} {item.name} {limit} {note}")

    @other.handler()
    async def relay(ctx: Context) -> list[Any]:
        typed = await ctx.service_call(store, arg={"item_id": 1, "item": Item(name="a"), "limit": 3})
        plain = await ctx.generic_call(
            "test_endpoint_annotations", "store", b'{"item_id": 2, "item": {"name": "b"}, "note": "n"}'
        )
        return [type(typed).__name__, typed.name, plain.decode()]

    world.durably.bind(other)

    @world.app.post("/relay")
    @world.durably.endpoint
    async def call(ctx: Context) -> list[Any]:
        return await ctx.service_call(relay, arg=None)

    assert world.client.post("/relay").json() == ["Item", "1 a 3 none", '{"name":"2 b 10 n","price":null}']


def test_payloads_are_checked_for_other_callers(quiet_world: World):
    """What is missing, wrong or unknown in a payload is refused with the name, without the value."""

    async def store(item_id: Annotated[int, Query(gt=0)], item: Item) -> None: ...

    found = find_endpoint(quiet_world.durably.endpoint(store))
    assert found is not None
    serde = found.handler.input_serde
    for body, word in {
        b"{}": "item_id",
        b'{"item_id": 0, "item": {"name": "a"}}': "item_id",
        b'{"item_id": "secret", "item": {"name": 1}}': "item.name",
        b'{"item_id": 1, "item": {"name": "a"}, "more": 1}': "more",
        b"[": "",
    }.items():
        with pytest.raises(SerdeError) as caught:
            serde.deserialize(body)
        assert word in str(caught.value)
        assert "secret" not in str(caught.value)
    unset = b'{"item_id": 1, "item": {"name": "a"}, "durably_unset": [["item", "nowhere", 3], ["no"], ["item", 1]]}'
    read: Any = serde.deserialize(unset)
    assert read["item"].name == "a"
    with pytest.raises(SerdeError, match="no value"):
        serde.serialize({"other": 1})


def test_discovery_describes_endpoints(quiet_world: World):
    """The manifest has a JSON Schema of the named values and of the result."""

    @quiet_world.app.post("/items/{item_id}")
    @quiet_world.durably.endpoint
    async def store(item_id: int, item: Item, limit: Limit) -> Item:
        """Store an item."""
        return item

    endpoint = quiet_world.durably.link.endpoint
    rendered = render_manifest(endpoint.manifest(ProtocolMode.BIDI_STREAM), ManifestVersion.V4).decode()
    for word in ('"item_id"', '"limit"', '"price"', "Store an item."):
        assert word in rendered
    found = find_endpoint(store)
    assert found is not None
    schema = found.handler.input.json_schema(of_input=True)
    assert schema is not None
    assert set(schema["required"]) == {"item_id", "item"}


def test_openapi_stays(quiet_world: World):
    """The durable route is documented as the plain one, with the two headers of a durable call."""

    async def store(item_id: int, item: Item, limit: Limit) -> Item:
        """Store an item.

        With care.
        """
        return item

    quiet_world.twins("/items/{item_id}", store, tags=["items"], responses={409: {"description": "Taken"}})
    paths = quiet_world.client.get("/openapi.json").json()["paths"]
    plain, durable = paths["/plain/items/{item_id}"]["post"], paths["/durable/items/{item_id}"]["post"]
    headers = [each for each in durable["parameters"] if each["in"] == "header"]
    assert {each["name"] for each in headers} == {"Idempotency-Key", "Prefer"}
    assert not any(each["required"] for each in headers)
    durable["parameters"] = [each for each in durable["parameters"] if each["in"] != "header"]
    for part in ("summary", "description", "requestBody", "tags"):
        assert durable[part] == plain[part]

    def by_name(operation: dict[str, Any]) -> list[dict[str, Any]]:
        return sorted(operation["parameters"], key=lambda each: each["name"])

    assert by_name(durable) == by_name(plain)
    assert durable["responses"]["200"]["content"] == plain["responses"]["200"]["content"]
    assert durable["responses"]["409"] == plain["responses"]["409"]


def test_plain_endpoints_with_keys(world: World):
    """`def` endpoints of objects have their own contexts; idempotent calls are one invocation."""

    @world.app.post("/count/{name}")
    @world.durably.endpoint
    def count(name: str, ctx: SyncContext) -> int:
        ctx.run_typed("note", lambda: world.log.append(name))
        return len(world.log)

    def call(key: str) -> Any:
        return world.client.post("/count/a", headers={"idempotency-key": key})

    first = call("1")
    assert call("1").json() == first.json() == 1
    assert call("1").headers["x-durably-invocation-id"] == first.headers["x-durably-invocation-id"]
    assert call("2").json() == 2
