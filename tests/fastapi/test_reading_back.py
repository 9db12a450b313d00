"""Values whose types have validators and serializers of their own, on their way to the attempts."""

from __future__ import annotations

import dataclasses
import logging
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    field_serializer,
    field_validator,
    model_serializer,
)

from durably_fastapi.reading_back import first_difference, is_custom
from tests.fastapi.worlds import World


class Card(BaseModel):
    """Written for a log: another value, of the same type."""

    number: str

    @field_serializer("number")
    def mask(self, number: str) -> str:
        """Hide all but the end."""
        return "*" * 12 + number[-4:]


class Order(BaseModel):
    """Has a card somewhere below."""

    cards: list[Card]


class Amount(BaseModel):
    """Written as a text that is no number."""

    cents: Annotated[int, PlainSerializer(lambda cents: f"{cents} ct")]


class Tags(BaseModel):
    """Its validator takes a text, and raises what is no validation error for the list that it has made of it."""

    names: list[str]

    @field_validator("names", mode="before")
    @classmethod
    def split(cls, value: Any) -> Any:
        """Split a text."""
        return value.split(",")


class Salted(BaseModel):
    """Its validator changes what it has made itself."""

    password: Annotated[str, AfterValidator(lambda text: f"salted {text}")]


class Booking(BaseModel):
    """Written and checked in ways of its own, all of which can be read again."""

    day: date
    price: Decimal
    guest: str
    share: float = float("nan")

    @field_serializer("day")
    def write_day(self, day: date) -> str:
        """Write it as a text."""
        return day.isoformat()

    @field_serializer("price")
    def write_price(self, price: Decimal) -> str:
        """Write it without losing a digit."""
        return str(price)

    @field_validator("guest")
    @classmethod
    def strip(cls, guest: str) -> str:
        """Take off spaces."""
        return guest.strip()


class Whole(BaseModel):
    """Written as something else altogether."""

    name: str

    @model_serializer
    def write(self) -> str:
        """Write the name alone."""
        return self.name


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        (Order, {"cards": [{"number": "4000123412341234"}]}, "body.cards.0.number"),
        (Amount, {"cents": 5}, "body.cents"),
        (Tags, {"names": "a,b"}, "body"),
        (Salted, {"password": "a"}, "body.password"),
        (Whole, {"name": "a"}, "body"),
    ],
)
def test_what_would_not_arrive_is_no_invocation(
    quiet_world: World, caplog: pytest.LogCaptureFixture, kind: type[BaseModel], body: Any, path: str
):
    """The call fails before anything is accepted, with an error in the log that names the place."""

    async def take(body: Any) -> None:
        quiet_world.log.append("ran")

    take.__annotations__["body"] = kind
    quiet_world.app.post("/")(quiet_world.durably.endpoint(take))
    quiet_world.app.add_exception_handler(Exception, _tell)
    with caplog.at_level(logging.ERROR):
        answer = quiet_world.client.post("/", json=body)
    assert answer.status_code == 500
    assert answer.text.startswith(f"`{path}` does not survive the way to the attempts")
    assert "4000" not in answer.text
    assert quiet_world.log == []


async def _tell(_: Any, error: Exception) -> Any:
    from fastapi.responses import PlainTextResponse

    return PlainTextResponse(str(error), 500)


def test_what_can_be_read_again_arrives(world: World):
    """Custom validators and serializers that fit each other change nothing."""

    async def book(booking: Booking, codes: Annotated[list[str], BeforeValidator(list)]) -> dict[str, Any]:
        assert isinstance(booking.day, date)
        return {"guest": booking.guest, "price": str(booking.price), "codes": codes}

    compare = world.twins("/", book)
    booking = {"day": "2030-05-01", "price": "10.10", "guest": " Ada "}
    answer = compare("/", 200, json={"booking": booking, "codes": ["a"]})
    assert answer.json() == {"guest": "Ada", "price": "10.10", "codes": ["a"]}


@dataclasses.dataclass
class Boxed:
    """A dataclass with a custom type inside."""

    amount: Amount


class Entry(TypedDict):
    """So with a typed dictionary."""

    amount: list[Amount | None]


class Node(BaseModel):
    """Contains itself, and nothing custom."""

    below: list[Node] = []


def test_only_custom_types_are_read_back():
    """Plain models, however deep, cost nothing more; custom ones are found at any depth."""
    assert not any(is_custom(kind) for kind in (int, list[int], Node, dict[str, Node], Annotated[int, "mark"]))
    assert all(is_custom(kind) for kind in (Order, Boxed, Entry, Amount | None, dict[str, Salted], tuple[Tags, ...]))


class _NoEquality:
    """Compares by identity."""


def test_differences_are_named():
    """The first one, by its path; what has no equality, and NaN, counts as the same."""
    assert first_difference({"a": [1, 2.0]}, {"a": [1, 2.0]}, "x") is None
    assert first_difference({"a": [1, 2]}, {"a": [1, 3]}, "x") == "x.a.1"
    assert first_difference({"a": 1}, {"b": 1}, "x") == "x"
    assert first_difference([1], [1, 2], "x") == "x"
    assert first_difference([float("nan")], [float("nan")], "x") is None
    assert first_difference(_NoEquality(), _NoEquality(), "x") is None
    assert first_difference(Amount(cents=1), Whole(name="a"), "x") == "x"


class Limits(BaseModel):
    """Numbers that JSON does not have."""

    most: float = float("inf")
    least: float | None = None


def test_infinity_arrives(world: World):
    """As a default and as given, in a model and alone; the endpoint has a schema without it."""

    async def limit(limits: Limits, top: float = float("inf")) -> str:
        return f"{limits.most} {limits.least} {top}"

    compare = world.twins("/", limit)
    assert compare("/", 200, json={}).json() == "inf None inf"
    assert compare("/", 200, json={"most": "-inf", "least": "nan"}, params={"top": "1"}).json() == "-inf nan 1.0"
