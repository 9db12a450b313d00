"""Dependencies of durable endpoints: where they run, how often, in which order they are closed."""

# ruff: noqa: B008 - `Depends` as a default is what is tested

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Security
from fastapi.security import HTTPBasic, HTTPBasicCredentials, OAuth2PasswordBearer, SecurityScopes
from pydantic import BaseModel

from durably import Context
from durably_fastapi import Durably, Edge, PerAttempt
from tests.fastapi.worlds import World

PAUSE = timedelta(milliseconds=1)

scheme = OAuth2PasswordBearer("token", scopes={"orders": "Orders", "admin": "All"})
basic = HTTPBasic()


class User(BaseModel):
    """Who calls."""

    name: str
    scopes: list[str] = []


@dataclass
class Paging:
    """A class as a dependency."""

    limit: int = 10
    offset: int = 0


class Numbers:
    """An object that is a dependency."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, step: int = 1) -> int:
        return self.start + step


def current_user(scopes: SecurityScopes, token: Annotated[str, Depends(scheme)]) -> User:
    """Check the token."""
    if "orders" not in token:
        raise HTTPException(403, f"needs {scopes.scope_str}")
    return User(name=token, scopes=scopes.scopes)


def test_security_runs_once_at_the_edge(world: World):
    """OAuth2 scopes are checked when the call arrives; the user travels as data, the token does not."""

    @world.app.post("/")
    @world.durably.endpoint
    async def work(user: Annotated[User, Security(current_user, scopes=["orders"])], ctx: Context) -> User:
        world.log.append(user.name)
        await ctx.sleep(PAUSE)
        assert b"Bearer" not in ctx.request().body
        assert "authorization" not in ctx.request().headers
        return user

    assert world.client.post("/").status_code == 401
    assert world.client.post("/", headers={"authorization": "Bearer x"}).json() == {"detail": "needs orders"}
    assert world.log == []
    answer = world.client.post("/", headers={"authorization": "Bearer orders"})
    assert answer.json() == {"name": "orders", "scopes": ["orders"]}
    operation = world.client.get("/openapi.json").json()["paths"]["/"]["post"]
    assert operation["security"] == [{"OAuth2PasswordBearer": ["orders"]}]


def test_edge_results_are_data(world: World):
    """Results of dependencies that read the request: models, dataclasses, None, plain and without a declared type."""

    def agent(request: Request) -> dict[str, str]:
        world.log.append("edge")
        return {"agent": request.headers["user-agent"]}

    def nothing(x_a: Annotated[str | None, Header()] = None) -> None:
        world.log.append("edge")

    def untyped(request: Request):
        return [1, "a", {"b": None}]

    def paging(request: Request) -> Paging:
        return Paging(limit=3)

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        ctx: Context,
        a: Annotated[dict[str, str], Depends(agent)],
        b: None = Depends(nothing),
        c=Depends(untyped),  # noqa: ANN001
        d: Paging = Depends(paging),
    ) -> list[Any]:
        await ctx.sleep(PAUSE)
        world.log.append("attempt")
        assert isinstance(d, Paging)
        return [a, b, c, d]

    answer = world.client.post("/", headers={"user-agent": "me"})
    assert answer.json() == [{"agent": "me"}, None, [1, "a", {"b": None}], {"limit": 3, "offset": 0}]
    assert world.log == ["edge", "edge", "attempt"]


def test_untyped_objects_are_refused_at_the_edge(quiet_world: World):
    """What would come back as something else is a mistake that is reported before anything runs."""

    def untyped(request: Request):
        return User(name="x")

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint
    async def work(user=Depends(untyped)) -> None:  # noqa: ANN001
        quiet_world.log.append("ran")

    assert quiet_world.client.post("/").status_code == 500
    assert quiet_world.log == []


def test_kinds_of_dependencies(world: World):
    """Classes, objects with `__call__`, partials, methods, and Depends() with the annotation as the dependency."""

    class Repository:
        def __init__(self, paging: Annotated[Paging, Depends()], table: str = "t") -> None:
            self.text = f"{table}:{paging.limit}:{paging.offset}"

        def find(self, table: str = "t") -> str:
            return f"found {table}"

    def add(a: int, b: int) -> int:
        return a + b

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        repository: Annotated[Repository, Depends()],
        number: Annotated[int, Depends(Numbers(5))],
        total: Annotated[int, Depends(partial(add, b=10))],
        method: Annotated[str, Depends(Repository(Paging()).find)],
        legacy: Paging = Depends(),
    ) -> list[Any]:
        return [repository.text, number, total, method, legacy]

    answer = world.client.post("/?limit=3&step=2&a=1&table=x")
    assert answer.json() == ["x:3:0", 7, 11, "found x", {"limit": 3, "offset": 0}]
    assert world.client.post("/?limit=x&a=1").status_code == 422


def test_overrides(world: World):
    """An application's overrides hold at the edge and on attempts, and are looked up for each attempt."""

    def at_edge(request: Request) -> str:
        return "edge"

    def on_attempt(size: int = 1) -> str:
        return f"attempt {size}"

    async def override(ctx: Context, size: int = 0, missing: str = "d") -> AsyncIterator[str]:
        world.log.append("open")
        yield f"override {size} {missing} {ctx.request().id[:4]}"
        world.log.append("close")

    def nested(inner: Annotated[str, Depends(on_attempt)]) -> str:
        return f"nested {inner}"

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        a: Annotated[str, Depends(at_edge)], b: Annotated[str, Depends(on_attempt)], c: Annotated[str, Depends(nested)]
    ) -> list[str]:
        return [a, b, c]

    assert world.client.post("/?size=3").json() == ["edge", "attempt 3", "nested attempt 3"]
    world.app.dependency_overrides = {at_edge: lambda: "other", on_attempt: override}
    overridden = "override 3 d inv_"
    assert world.client.post("/?size=3").json() == ["other", overridden, f"nested {overridden}"]
    assert world.log == ["open", "close"]
    world.app.dependency_overrides = {}
    assert world.client.post("/").json() == ["edge", "attempt 1", "nested attempt 1"]


def test_marks(world: World):
    """`Edge` runs once what would run on each attempt; `PerAttempt` runs on each what would run once, in parts."""

    def now() -> int:
        world.log.append("now")
        return len(world.log)

    def user(request: Request) -> User:
        world.log.append("user")
        return User(name=request.headers["x-user"])

    class Basket:
        def __init__(self, user: Annotated[User, Depends(user)], size: int = 1) -> None:
            world.log.append("basket")
            self.owner, self.size = user, size

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        at: Annotated[int, Depends(now), Edge], basket: Annotated[Basket, Depends(), PerAttempt], ctx: Context
    ) -> list[Any]:
        if world.log.count("basket") < 3:
            raise ConnectionError
        return [at, basket.owner, basket.size]

    answer = world.client.post("/?size=4", headers={"x-user": "ada"})
    assert answer.json() == [1, {"name": "ada", "scopes": []}, 4]
    assert world.log == ["now", "user", "basket", "basket", "basket"]


def test_carried_results_scope_idempotency_keys(world: World):
    """One caller's key never gives another caller's result; `Edge(identity=…)` says who is the same caller."""

    def user(credentials: Annotated[HTTPBasicCredentials, Depends(basic)]) -> User:
        world.log.append("user")
        return User(name=credentials.username, scopes=[str(len(world.log))])

    @world.app.post("/narrow")
    @world.durably.endpoint
    async def narrow(user: Annotated[User, Depends(user), Edge(identity=lambda user: user.name)]) -> str:
        return f"{user.name} {user.scopes}"

    @world.app.post("/wide")
    @world.durably.endpoint
    async def wide(user: Annotated[User, Depends(user)]) -> str:
        return f"{user.name} {user.scopes}"

    def call(path: str, name: str) -> str:
        return world.client.post(path, auth=(name, "p"), headers={"idempotency-key": "k"}).json()

    first = call("/narrow", "ada")
    assert call("/narrow", "bob") != first
    assert call("/narrow", "ada") == first
    assert call("/wide", "ada") != call("/wide", "ada")


def test_credentials_scope_idempotency_keys(world: World):
    """Where a router authenticates, so that nothing of the caller is carried, the credentials tell callers apart."""
    router = APIRouter(dependencies=[Depends(basic)])

    @router.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> str:
        return ctx.invocation_id

    world.app.include_router(router)

    def call(name: str) -> str:
        return world.client.post("/", auth=(name, "p"), headers={"idempotency-key": "k"}).json()

    assert call("ada") == call("ada")
    assert call("ada") != call("bob")


def test_dependencies_of_routes_and_routers(world: World):
    """`dependencies=[…]` of routes, routers and inclusions are FastAPI's business, at the edge."""

    def allow(x_key: Annotated[str | None, Header()] = None) -> None:
        world.log.append("allow")
        if x_key != "k":
            raise HTTPException(403)

    router = APIRouter(prefix="/r", dependencies=[Depends(allow)])
    nested = APIRouter(prefix="/n")

    @nested.post("/{name}", dependencies=[Depends(allow)])
    @world.durably.endpoint
    async def work(name: str, ctx: Context) -> str:
        await ctx.sleep(PAUSE)
        return name

    router.include_router(nested)
    world.app.include_router(router, prefix="/v1")
    assert world.client.post("/v1/r/n/a").status_code == 403
    assert world.client.post("/v1/r/n/a", headers={"x-key": "k"}).json() == "a"
    assert world.log == ["allow", "allow"]


def test_shared_names(quiet_world: World):
    """A parameter of the endpoint and of its dependency with one name and one meaning is read and carried once."""

    def twice(size: int = 1) -> int:
        return size * 2

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint
    async def work(doubled: Annotated[int, Depends(twice)], size: int = 1) -> list[int]:
        return [size, doubled]

    assert quiet_world.client.post("/?size=4").json() == [4, 8]
    parameters = quiet_world.client.get("/openapi.json").json()["paths"]["/"]["post"]["parameters"]
    assert [each["name"] for each in parameters] == ["size", "Idempotency-Key", "Prefer"]


def test_two_applications_have_their_own_overrides(quiet_world: World):
    """Overrides are those of the application that the endpoint belongs to."""
    other = FastAPI()
    durably = Durably(other, url="memory://")

    def name() -> str:
        return "real"

    async def work(name: Annotated[str, Depends(name)]) -> str:
        return name

    quiet_world.app.post("/")(quiet_world.durably.endpoint(work))
    other.post("/")(durably.endpoint(work))
    other.dependency_overrides[name] = lambda: "fake"
    assert quiet_world.client.post("/").json() == "real"
    quiet_world.close()
    quiet_world.app, quiet_world._client = other, None
    assert quiet_world.client.post("/").json() == "fake"


def test_overrides_of_a_mounted_application(world: World):
    """An endpoint of an application mounted below obeys that application's overrides, at the edge and on attempts."""
    below = FastAPI()

    def name() -> str:
        return "real"

    def path(request: Request) -> str:
        return request.url.path

    @below.post("/work", status_code=201)
    @world.durably.endpoint
    async def work(name: Annotated[str, Depends(name)], at: Annotated[str, Depends(path)], ctx: Context) -> list[str]:
        return [name, at]

    world.app.mount("/below", below)
    answer = world.client.post("/below/work")
    assert (answer.status_code, answer.json()) == (201, ["real", "/below/work"])
    below.dependency_overrides = {name: lambda: "fake", path: lambda: "/"}
    world.app.dependency_overrides = {name: lambda: "not here"}
    assert world.client.post("/below/work").json() == ["fake", "/"]
