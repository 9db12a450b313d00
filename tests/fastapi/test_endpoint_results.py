"""Results of durable endpoints: the answer is the one that the same route without durability gives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Response, status
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from pydantic import BaseModel, Field, computed_field, field_serializer

from durably import Context
from tests.fastapi.worlds import World


class Stored(BaseModel):
    """What the database has."""

    name: str
    password: str = "secret"
    note: str | None = None
    size: int = 3


class Shown(BaseModel):
    """What the world may see."""

    name: str
    note: str | None = None
    size: int = 3


class Written(BaseModel):
    """A model whose JSON cannot be read as the model."""

    price: Decimal = Field(serialization_alias="cost")
    at: datetime = datetime(2030, 1, 1, tzinfo=UTC)

    @field_serializer("at")
    def _day(self, at: datetime) -> str:
        return at.strftime("%d.%m.%Y")

    @computed_field
    def doubled(self) -> Decimal:
        """Give twice the price."""
        return self.price * 2


@dataclass
class Pair:
    """A dataclass as a result."""

    left: int
    right: str = "r"


class Row:
    """As an object mapper gives it: attributes, and no schema."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 4
        self.note = None
        self.password = "hidden"


async def set_status(response: Response) -> str:
    response.status_code = 202
    response.headers["x-quota"] = "7"
    response.set_cookie("seen", "yes")
    return "set"


def test_models_and_plain_values(world: World):
    """Models, dataclasses, lists, dates, None and texts come out as FastAPI writes them."""

    async def model() -> Stored:
        return Stored(name="a")

    async def written() -> Written:
        return Written(price=Decimal("1.5"))

    async def untyped(kind: str):
        return {
            "none": None,
            "text": "ü \u2028 <>",
            "pair": Pair(1),
            "models": [Stored(name="x"), {"at": datetime(2030, 1, 1, tzinfo=UTC), "d": Decimal("1.1")}],
            "number": 0,
        }[kind]

    model_twins = world.twins("/model", model, method="GET")
    written_twins = world.twins("/written", written, method="GET")
    untyped_twins = world.twins("/untyped/{kind}", untyped, method="GET")
    model_twins("/model", 200)
    written_twins("/written", 200)
    for kind in ("none", "text", "pair", "models", "number"):
        untyped_twins(f"/untyped/{kind}", 200)


def test_response_models(world: World):
    """`response_model` filters what the function returns, whatever its class, and the `exclude` options hold."""

    async def dictionary() -> Any:
        return {"name": "a", "password": "p"}

    async def row() -> Row:
        return Row("a")

    async def stored() -> Stored:
        return Stored(name="a", size=3)

    async def short() -> Stored:
        return Stored(name="a", size=3)

    async def rows() -> Any:
        return [Row("a"), Row("b")]

    cases = [
        world.twins("/0", dictionary, response_model=Shown),
        world.twins("/1", row, response_model=Shown, response_model_exclude_none=True),
        world.twins("/2", stored, response_model=Shown, response_model_exclude_unset=True),
        world.twins("/3", short, response_model_exclude={"password"}, response_model_exclude_defaults=True),
        world.twins("/4", rows, response_model=list[Shown], response_model_include=None),
    ]
    answers = [compare(f"/{index}", 200) for index, compare in enumerate(cases)]
    assert answers[0].json() == {"name": "a", "note": None, "size": 3}
    assert answers[1].json() == {"name": "a", "size": 4}
    assert answers[4].json()[1]["name"] == "b"


def test_each_exclusion(quiet_world: World):
    """`exclude_unset`, `exclude_defaults`, `include` and `by_alias` on routes of their own."""

    def register(path: str, **options: Any) -> Any:
        async def find() -> Stored:
            return Stored(name="a", size=3)

        find.__name__ = f"find_{path}"
        return quiet_world.twins(f"/{path}", find, **options)

    cases = {
        "unset": register("unset", response_model_exclude_unset=True),
        "defaults": register("defaults", response_model_exclude_defaults=True),
        "include": register("include", response_model_include={"name"}),
        "none": register("none", response_model=None),
    }
    for path, compare in cases.items():
        compare(f"/{path}", 200)


def test_status_codes(world: World):
    """The route's status, one without a body, and one that a dependency sets, with its headers and cookies."""

    async def created() -> dict[str, int]:
        return {"id": 1}

    async def gone() -> None:
        return None

    async def told(how: Annotated[str, Depends(set_status)]) -> str:
        return how

    created_twins = world.twins("/created", created, status_code=status.HTTP_201_CREATED)
    gone_twins = world.twins("/gone", gone, status_code=204, method="DELETE")
    told_twins = world.twins("/told", told)
    created_twins("/created", 201)
    gone_twins("/gone", 204)
    answer = told_twins("/told", 202)
    assert answer.headers["x-quota"] == "7"
    assert answer.cookies["seen"] == "yes"
    assert answer.headers.get_list("content-length") == ["5"]


def test_response_classes(world: World):
    """HTML and text from the route's class, also one that a router has for all its routes."""

    async def page() -> str:
        return "<p>hi</p>"

    async def text() -> str:
        return "hi"

    router = APIRouter(prefix="/pages", default_response_class=HTMLResponse)
    router.add_api_route("/durable", world.durably.endpoint(name="routed")(page), methods=["GET"])
    router.add_api_route("/plain", page, methods=["GET"])
    world.app.include_router(router)
    page_twins = world.twins("/page", page, method="GET", response_class=HTMLResponse)
    text_twins = world.twins("/text", text, method="GET", response_class=PlainTextResponse)
    assert page_twins("/page", 200).text == "<p>hi</p>"
    text_twins("/text", 200)
    plain, durable = world.client.get("/pages/plain"), world.client.get("/pages/durable")
    assert (durable.content, durable.headers["content-type"]) == (plain.content, plain.headers["content-type"])


def test_returned_responses(world: World):
    """Responses travel with status, headers, several cookies and a body that is no text."""

    async def json() -> JSONResponse:
        response = JSONResponse({"a": 1}, 418, {"x-tea": "pot"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def redirect() -> RedirectResponse:
        return RedirectResponse("/elsewhere", 303)

    async def raw() -> Response:
        return Response(b"\xff\x00", media_type="image/png")

    json_twins = world.twins("/json", json)
    redirect_twins = world.twins("/redirect", redirect)
    raw_twins = world.twins("/raw", raw)
    answer = json_twins("/json", 418)
    assert answer.headers["x-tea"] == "pot"
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]
    assert redirect_twins("/redirect", 303, follow_redirects=False).headers["location"] == "/elsewhere"
    assert raw_twins("/raw", 200).headers["content-length"] == "2"


def test_data_that_looks_like_a_response_stays_data(world: World):
    """What a caller sends back to itself never becomes headers or a status."""

    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    compare = world.twins("/echo", echo)
    answer = compare("/echo", 200, json={"durably:response": {"status": 418, "headers": [["x-a", "b"]], "body": "hi"}})
    assert "x-a" not in answer.headers
    compare("/echo", 200, json={"durably:response": {"value": 1}})


def test_responses_that_cannot_be_recorded(quiet_world: World):
    """Streams, files and responses with background tasks fail once, for good, and say what to do instead."""

    @quiet_world.app.get("/{kind}", response_model=None)
    @quiet_world.durably.endpoint
    async def answer(kind: str):
        quiet_world.log.append(kind)
        if kind == "stream":
            return StreamingResponse(iter(["a"]))
        if kind == "file":
            return FileResponse(__file__)
        tasks = BackgroundTasks()
        tasks.add_task(print)
        return JSONResponse({}, background=tasks)

    for kind, word in {"stream": "StreamingResponse", "file": "FileResponse", "background": "background tasks"}.items():
        response = quiet_world.client.get(f"/{kind}")
        assert response.status_code == 500
        assert word in response.json()["detail"]
    assert quiet_world.log == ["stream", "file", "background"]


def test_background_tasks_of_dependencies_run(quiet_world: World):
    """What a dependency at the edge wants done after the answer is done after the answer."""

    def audit(tasks: BackgroundTasks) -> None:
        tasks.add_task(quiet_world.log.append, "audited")

    @quiet_world.app.get("/")
    @quiet_world.durably.endpoint
    async def answer(_: Annotated[None, Depends(audit)]) -> str:
        quiet_world.log.append("ran")
        return "x"

    assert quiet_world.client.get("/").json() == "x"
    assert quiet_world.log == ["ran", "audited"]


def test_what_is_filtered_is_not_journaled(quiet_world: World):
    """The journal holds the answer, not the object it was made from."""

    @quiet_world.app.get("/", response_model=Shown)
    @quiet_world.durably.endpoint
    async def answer(ctx: Context) -> Stored:
        return Stored(name="a")

    endpoint = quiet_world.client.get("/")
    assert endpoint.status_code == 200
    from durably_fastapi.endpoint import find_endpoint

    found = find_endpoint(answer)
    assert found is not None
    assert b"secret" not in found.handler.encode_output(Stored(name="a"))


def test_polling_gives_the_same_answer(quiet_world: World):
    """A result that is fetched later has the route's status, class and filters."""

    @quiet_world.app.post("/", status_code=201, response_model=Shown, response_model_exclude_none=True)
    @quiet_world.durably.endpoint
    async def answer(ctx: Context) -> Stored:
        return Stored(name="a")

    @quiet_world.app.post("/page", response_class=HTMLResponse)
    @quiet_world.durably.endpoint
    async def page(ctx: Context) -> str:
        return "<p>"

    for path in ("/", "/page"):
        waited = quiet_world.client.post(path)
        accepted = quiet_world.client.post(path, headers={"prefer": "respond-async"})
        assert accepted.status_code == 202
        assert accepted.json()["invocation_id"] == accepted.headers["x-durably-invocation-id"]
        polled = quiet_world.client.get(accepted.headers["location"], headers={"prefer": "wait=5"})
        assert (polled.status_code, polled.content) == (waited.status_code, waited.content)
        assert polled.headers["content-type"] == waited.headers["content-type"]


def test_two_routes_of_one_endpoint(quiet_world: World):
    """An endpoint may stand under two routes with different statuses."""

    @quiet_world.app.put("/", status_code=201)
    @quiet_world.app.post("/", status_code=202)
    @quiet_world.durably.endpoint
    async def answer() -> str:
        return "x"

    assert quiet_world.client.put("/").status_code == 201
    assert quiet_world.client.post("/").status_code == 202
