"""Parameters of durable endpoints: each kind arrives as in the same endpoint without durability."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from fastapi import Body, Cookie, File, Form, Header, Path, Query, UploadFile
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, computed_field

from tests.fastapi.worlds import World

T = TypeVar("T")


class Colour(enum.Enum):
    """A choice."""

    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """One line of an order."""

    sku: str = Field(alias="itemSku", min_length=2)
    count: int = 1
    price: Decimal = Decimal("1.00")


class Order(BaseModel):
    """A body with all that JSON has no word for."""

    lines: list[Line]
    due: date | None = None
    at: datetime | None = None
    every: timedelta = timedelta(days=1)
    id: UUID | None = None
    colour: Colour = Colour.RED
    tags: set[str] = set()
    extra: dict[str, int | str] = {}


class Page(BaseModel, Generic[T]):
    """A generic body."""

    items: list[T]
    next: str | None = None


class Split(BaseModel):
    """Read under one name, written under another, with a field that is only written."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(validation_alias=AliasChoices("fullName", "full_name"), serialization_alias="displayName")

    @computed_field
    def shout(self) -> str:
        """Give the name, loud."""
        return self.name.upper()


@dataclass
class Point:
    """A dataclass as a body."""

    x: int
    y: int = 0


class Cat(BaseModel):
    """One member of a tagged union."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]
    name: str


class Filters(BaseModel):
    """Query parameters as a model."""

    limit: int = Field(10, gt=0, le=100)
    tags: list[str] = []


class Credentials(BaseModel):
    """A form as a model."""

    user: str
    remember: bool = False


Limit = Annotated[int, Query(ge=1, le=5)]
Shouted = Annotated[str, AfterValidator(lambda text: text.upper())]


def test_path_and_query_parameters(world: World):
    """Types, constraints, lists, enumerations, aliases and defaults; wrong ones are refused in the same words."""

    async def find(
        item_id: UUID,
        number: Annotated[int, Path(gt=0)],
        colour: Colour,
        size: float = 1.5,
        tags: Annotated[list[str] | None, Query()] = None,
        page_size: Annotated[int, Query(alias="page-size")] = 10,
        limit: Limit = 3,
        since: datetime | None = None,
        loud: Shouted = "quiet",
        old: int = Query(7, le=9),
        never: str = None,  # type: ignore[assignment] # noqa: RUF013 - as many applications have it
    ) -> dict[str, Any]:
        return {"all": [item_id, number, colour, size, tags, page_size, limit, since, loud, old, never]}

    compare = world.twins("/find/{item_id}/{number}", find, method="GET")
    url = "/find/6f1c5f40-0000-4000-8000-000000000001"
    compare(f"{url}/3?colour=red", 200)
    compare(
        f"{url}/3?colour=blue&size=2&tags=a&tags=b&page-size=3&limit=5&since=2030-01-02T03:04:05Z&loud=x&old=1", 200
    )
    compare(f"{url}/0?colour=green&limit=6&size=x", 422)
    compare("/find/no/3", 422)


def test_headers_and_cookies(world: World):
    """Headers, with underscores and lists, and cookies of the function itself."""

    async def read(
        x_request_id: Annotated[str, Header()],
        x_token: Annotated[list[str] | None, Header()] = None,
        theme: Annotated[str | None, Cookie()] = None,
    ) -> list[Any]:
        return [x_request_id, x_token, theme]

    compare = world.twins("/headers", read, method="GET")
    compare("/headers", 200, headers=[("x-request-id", "1"), ("x-token", "a"), ("x-token", "b"), ("cookie", "theme=x")])
    compare("/headers", 422)


def test_bodies(world: World):
    """A model with aliases, decimals, dates, sets and unions survives the way to the handler and back."""

    async def place(order: Order) -> Order:
        assert isinstance(order.lines[0], Line)
        return order

    compare = world.twins("/order", place)
    whole = {
        "lines": [{"itemSku": "ab", "count": 2, "price": "1.10"}, {"itemSku": "cd"}],
        "due": "2030-01-01",
        "at": "2030-01-01T00:00:00+02:00",
        "every": "PT1H",
        "id": "6f1c5f40-0000-4000-8000-000000000001",
        "colour": "blue",
        "tags": ["x"],
        "extra": {"a": 1, "b": "two"},
    }
    compare("/order", 200, json=whole)
    compare("/order", 200, json={"lines": [{"itemSku": "ab"}]})
    compare("/order", 422, json={"lines": [{"itemSku": "a"}]})
    compare("/order", 422, content=b"{", headers={"content-type": "application/json"})
    compare("/order", 422)


def test_several_and_embedded_bodies(world: World):
    """Two models, a scalar with Body and an embedded one."""

    async def both(point: Point, pet: Annotated[Cat | Dog, Field(discriminator="kind")], note: Annotated[str, Body()]):
        return [point, pet, type(pet).__name__, note]

    async def embedded(point: Annotated[Point, Body(embed=True)]) -> Point:
        return point

    compare = world.twins("/both", both)
    world.app.add_api_route("/embedded", world.durably.endpoint(embedded), methods=["POST"])
    compare("/both", 200, json={"point": {"x": 1}, "pet": {"kind": "dog", "name": "Rex"}, "note": "n"})
    compare("/both", 200, json={"point": {"x": 1, "y": 2}, "pet": {"kind": "cat"}, "note": ""})
    compare("/both", 422, json={"point": {"x": 1}, "pet": {"kind": "cow"}, "note": "n"})
    assert world.client.post("/embedded", json={"point": {"x": 4}}).json() == {"x": 4, "y": 0}


@pytest.mark.parametrize("body", [{"fullName": "Ada"}, {"full_name": "Ada"}])
def test_split_names(quiet_world: World, body: dict[str, str]):
    """A model that is read and written under different names, with a computed field and no room for more."""

    async def greet(split: Split) -> Split:
        return split

    quiet_world.twins("/split", greet)("/split", 200, json=body)


def test_generic_bodies(world: World):
    """A generic model, and a list of models."""

    async def pages(page: Page[Line], others: list[Point]) -> Page[Line]:
        assert isinstance(page.items[0], Line)
        assert isinstance(others[0], Point)
        return page

    compare = world.twins("/pages", pages)
    compare("/pages", 200, json={"page": {"items": [{"itemSku": "ab"}]}, "others": [{"x": 1}]})


def test_fields_that_were_not_given_count_as_such(world: World):
    """`model_dump(exclude_unset=True)`, the usual way to write PATCH, sees on each attempt what the caller left out."""

    async def patch(order: Order) -> dict[str, Any]:
        return order.model_dump(exclude_unset=True, mode="json")

    compare = world.twins("/patch", patch, method="PATCH")
    compare("/patch", 200, json={"lines": [{"itemSku": "ab"}, {"itemSku": "cd", "count": 1}], "colour": "red"})


def test_query_and_form_models(world: World):
    """Models as query parameters and as forms."""

    async def search(filters: Annotated[Filters, Query()]) -> Filters:
        return filters

    async def login(form: Annotated[Credentials, Form()]) -> Credentials:
        return form

    search_twins = world.twins("/search", search, method="GET")
    login_twins = world.twins("/login", login)
    search_twins("/search?limit=5&tags=a&tags=b", 200)
    search_twins("/search?limit=500", 422)
    login_twins("/login", 200, data={"user": "ada", "remember": "yes"})
    login_twins("/login", 422, data={"remember": "yes"})


def test_forms(world: World):
    """Fields of forms, single and repeated."""

    async def submit(name: Annotated[str, Form()], tags: Annotated[list[int], Form()], age: int = Form(1)) -> list[Any]:
        return [name, tags, age]

    compare = world.twins("/submit", submit)
    compare("/submit", 200, data={"name": "a", "tags": ["1", "2"]})
    compare("/submit", 422, data={"name": "a", "tags": ["x"]})


def test_uploads(world: World):
    """Files and bytes, alone, several and left out, with their names, types and contents, on every attempt."""

    async def upload(
        file: UploadFile,
        many: list[UploadFile],
        raw: Annotated[bytes, File()],
        maybe: UploadFile | None = None,
    ) -> list[Any]:
        first = await file.read()
        await file.seek(0)
        again = await file.read()
        others = [(each.filename, (await each.read()).hex()) for each in many]
        return [file.filename, file.content_type, file.size, first.hex(), first == again, others, raw.hex(), maybe]

    compare = world.twins("/upload", upload)
    files = [
        ("file", ("a.bin", b"\xff\x00one", "image/png")),
        ("many", ("b.txt", b"two")),
        ("many", ("c.txt", b"")),
        ("raw", ("d", b"\xfe")),
    ]
    compare("/upload", 200, files=files)
    compare("/upload", 422, files=files[1:])


def test_uploads_over_the_limit_are_refused(quiet_world: World):
    """What would not fit into the journal gets a 413 that says what to do; nothing runs."""

    async def upload(file: UploadFile) -> int | None:
        quiet_world.log.append("ran")
        return file.size

    quiet_world.app.add_api_route("/upload", quiet_world.durably.endpoint(upload), methods=["POST"])
    limit = quiet_world.durably.settings.max_upload_bytes
    assert quiet_world.client.post("/upload", files={"file": b"x" * limit}).json() == limit
    answer = quiet_world.client.post("/upload", files={"file": b"x" * (limit + 1)})
    assert answer.status_code == 413
    assert str(limit) in answer.json()["detail"]
    assert quiet_world.log == ["ran"]


def test_raw_bodies(world: World):
    """Bytes that are no text."""

    async def store(data: Annotated[bytes, Body(media_type="application/octet-stream")]) -> str:
        return data.hex()

    compare = world.twins("/raw", store)
    compare("/raw", 200, content=b"\xff\x00\xfe", headers={"content-type": "application/octet-stream"})


def test_defaults_are_fixed_when_the_call_arrives(world: World):
    """A `default_factory` runs once; all attempts see the same value."""
    made: list[int] = []

    def draw() -> int:
        made.append(len(made))
        return made[-1]

    class Ticket(BaseModel):
        number: int = Field(default_factory=draw)

    seen: list[tuple[int, int, int]] = []

    @world.app.post("/tickets")
    @world.durably.endpoint
    async def ticket(ticket: Ticket, lot: Annotated[int, Query(default_factory=draw)]) -> int:
        seen.append((ticket.number, lot, len(made)))
        if len(seen) < 3:
            raise ConnectionError
        return ticket.number

    assert world.client.post("/tickets", json={}).status_code == 200
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_numbers_that_json_does_not_have(quiet_world: World):
    """Infinity as a query parameter survives; inside a model, where it would not, the call is refused."""

    async def divide(by: float) -> bool:
        return by == float("inf")

    quiet_world.twins("/divide", divide, method="GET")("/divide?by=inf", 200)


def test_plain_functions(world: World):
    """`def` endpoints take the same parameters."""

    def place(order: Order, item_id: int, tags: Annotated[list[str] | None, Query()] = None) -> list[Any]:
        return [order, item_id, tags]

    compare = world.twins("/place/{item_id}", place)
    compare("/place/3?tags=a", 200, json={"lines": [{"itemSku": "ab"}]})
    compare("/place/x?tags=a", 422, json={"lines": []})
