"""Serdes: any type as JSON and back, what is refused and in which words, and how fast one is found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest

from durably import serde as serde_module
from durably.errors import SerdeError
from durably.serde import (
    BytesSerde,
    DefaultSerde,
    JsonSerde,
    MsgspecJsonSerde,
    PydanticJsonSerde,
    Serde,
    TypedSerde,
    is_pydantic,
    resolve_serde,
    return_serde,
    serde_for,
)

ItemT = TypeVar("ItemT")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    sku: str
    price: Decimal
    at: datetime | None = None


class Order(pydantic.BaseModel):
    id: UUID
    lines: list[Line]
    colour: Colour = Colour.RED


class Address(TypedDict):
    street: str
    number: int


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: str


class Page(pydantic.BaseModel, Generic[ItemT]):
    items: list[ItemT]


class Aliased(pydantic.BaseModel):
    order_id: int = pydantic.Field(alias="orderId")


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ORDER = Order(
    id=UUID("12345678-1234-5678-1234-567812345678"),
    lines=[Line("a", Decimal("1.10"), NOON), Line("b", Decimal("2"))],
    colour=Colour.BLUE,
)

VALUES: list[tuple[Any, Any]] = [
    (str, "ünïcödé 🎈"),
    (int, 2**63),
    (float, 0.1),
    (float, 3),
    (bool, False),
    (bytes, b"\x00\xff"),
    (list[bytes], [b"\x00", b""]),
    (Line, Line("x", Decimal("0.1"), NOON)),
    (list[Line], [Line("x", Decimal(1))]),
    (Order, ORDER),
    (list[Order], [ORDER, ORDER]),
    (dict[str, Order], {"one": ORDER}),
    (Order | None, ORDER),
    (Address, {"street": "Main", "number": 1}),
    (Point, Point(1, 2)),
    (list[Point], [Point(1), Point(2, 3)]),
    (Pair, Pair(1, "r")),
    (Page[Line], Page[Line](items=[Line("x", Decimal(1))])),
    (Aliased, Aliased(orderId=3)),
    (Cat | Dog, Dog(tricks=["sit"])),
    (Annotated[Cat | Dog, pydantic.Field(discriminator="kind")], Cat(lives=9)),
    (datetime, NOON),
    (date, date(2026, 1, 2)),
    (timedelta, timedelta(days=7, seconds=1)),
    (UUID, ORDER.id),
    (Decimal, Decimal("1234567890.12345678901234567890")),
    (Colour, Colour.BLUE),
    (set[int], {1, 2}),
    (tuple[int, str], (1, "a")),
    (dict[int, str], {1: "a"}),
]


@pytest.mark.parametrize(("hint", "value"), VALUES, ids=[f"{number} {hint}" for number, (hint, _) in enumerate(VALUES)])
def test_values_come_back_as_their_type(hint: Any, value: Any) -> None:
    """A value of any supported type is written as JSON and read back equal, and of the same type."""
    serde = serde_for(hint)
    data = serde.serialize(value)

    assert value == serde.deserialize(data)
    assert type(value) is type(serde.deserialize(data)) or (hint, value) == (float, 3)
    JsonSerde[Any]().deserialize(data)  # it is JSON


@pytest.mark.parametrize(
    "serde",
    [
        JsonSerde[Any](),
        DefaultSerde[Any](),
        DefaultSerde(Order),
        PydanticJsonSerde(Order),
        MsgspecJsonSerde(Point),
        serde_for(int),
        serde_for(None),
    ],
    ids=["json", "default", "default typed", "pydantic", "msgspec", "int", "none"],
)
def test_nothing_is_no_bytes(serde: Serde[Any]) -> None:
    """`None` is written as no bytes, and no bytes are read as `None`, as the Python peer does it."""
    assert serde.serialize(None) == b""
    assert serde.deserialize(b"") is None


def test_bytes_pass_through() -> None:
    """`BytesSerde` changes nothing; no bytes stay bytes."""
    serde = BytesSerde()

    assert serde.deserialize(serde.serialize(b"\x00")) == b"\x00"
    assert serde.serialize(None) == b""
    assert serde.deserialize(b"") == b""


def test_plain_json_takes_what_has_a_json_form() -> None:
    """Without a type models, dataclasses and structs are written too; they come back as plain JSON."""
    serde = JsonSerde[Any]()

    assert serde.serialize(Line("a", Decimal("1.5"))) == b'{"sku":"a","price":"1.5","at":null}'
    assert serde.deserialize(serde.serialize(Point(1))) == {"x": 1, "y": 0}
    assert serde.deserialize(serde.serialize([Aliased(orderId=3)])) == [{"orderId": 3}]
    assert '"é"'.encode() == serde.serialize("é")


def test_aliases_are_written_as_they_are_read() -> None:
    """A field with an alias is written under it; under its own name it could not be read back."""
    assert PydanticJsonSerde(Aliased).serialize(Aliased(orderId=3)) == b'{"orderId":3}'


def test_a_value_of_another_type_is_converted_or_refused() -> None:
    """What is stored always reads back as the type: close values are converted, others refused when written."""
    serde = serde_for(list[Line])

    written = serde.serialize([{"sku": "a", "price": "1"}])
    assert [Line("a", Decimal(1))] == serde.deserialize(written)
    with pytest.raises(SerdeError, match=r"\[0\]\.price: Field required") as caught:
        serde.serialize([{"sku": "a"}])
    assert caught.value.problems == ("[0].price: Field required",)
    with pytest.raises(SerdeError, match="A str cannot be written as int"):
        serde_for(int).serialize("many")


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [float("nan"), [float("inf")], "\ud800", {"k": "\udfff"}, object(), CYCLE],
    ids=["nan", "infinity", "surrogate", "inside", "object", "cycle"],
)
def test_values_without_a_json_form_are_refused_when_written(value: Any) -> None:
    """NaN, infinity, lone surrogates, unknown classes and cycles are refused at once, not when they are read."""
    with pytest.raises(SerdeError):
        JsonSerde[Any]().serialize(value)


@pytest.mark.parametrize(("hint", "value"), [(float, float("nan")), (list[float], [float("-inf")]), (str, "\ud800")])
def test_typed_values_without_a_json_form_are_refused(hint: Any, value: Any) -> None:
    """The same holds with a type."""
    with pytest.raises(SerdeError):
        serde_for(hint).serialize(value)


def test_text_that_only_looks_like_nan_is_written() -> None:
    """`NaN` and `Infinity` inside strings are ordinary text."""
    for text in ("NaN", "Infinity War", 'a "NaN" b'):
        assert text == JsonSerde[Any]().deserialize(JsonSerde[Any]().serialize(text))
        assert [text] == serde_for(list[str]).deserialize(serde_for(list[str]).serialize([text]))


def test_the_hint_comes_from_the_argument_then_from_the_serde() -> None:
    """`type_hint=` decides for a `DefaultSerde`, then its own type; other serdes stay as they are."""
    own = JsonSerde[Any]()

    assert own is resolve_serde(own, Order)
    assert serde_for(Order) is resolve_serde(DefaultSerde(), Order)
    assert serde_for(Order) is resolve_serde(DefaultSerde(Order))
    assert serde_for(Line) is resolve_serde(DefaultSerde(Order), Line)
    assert isinstance(resolve_serde(DefaultSerde()), JsonSerde)
    assert isinstance(DefaultSerde().with_maybe_type(Order).deserialize(DefaultSerde(Order).serialize(ORDER)), Order)


def test_the_same_union_in_another_order_is_another_serde() -> None:
    """`A | B` equals `B | A` in Python, but where both fit the first one is taken."""

    class First(pydantic.BaseModel):
        x: int

    class Second(pydantic.BaseModel):
        x: int

    assert isinstance(serde_for(First | Second).deserialize(b'{"x":1}'), First)
    assert isinstance(serde_for(Second | First).deserialize(b'{"x":1}'), Second)
    many = serde_for(list[Second | First]).deserialize(b'[{"x":1}]')
    assert isinstance((many or [None])[0], Second)


def _returns_order() -> Order:
    return ORDER


async def _returns_orders() -> list[Order]:
    return [ORDER]


def _returns_awaitable() -> Awaitable[Order]: ...  # type: ignore[empty-body]


def _returns_coroutine() -> Coroutine[Any, Any, Order]: ...  # type: ignore[empty-body]


class Charger:
    def charge(self) -> Order: ...  # type: ignore[empty-body]

    def __call__(self) -> Line: ...  # type: ignore[empty-body]


def test_return_annotations_choose_the_serde() -> None:
    """Functions, coroutines, methods and callable objects are known by their return annotation."""
    import functools

    expected: list[tuple[Callable[..., Any], Any]] = [
        (_returns_order, Order),
        (_returns_orders, list[Order]),
        (_returns_awaitable, Order),
        (_returns_coroutine, Order),
        (functools.partial(_returns_order), Order),
        (Charger().charge, Order),
        (Charger(), Line),
        (lambda: 1, None),
        (len, None),
    ]
    for function, hint in expected:
        assert serde_for(hint) is return_serde(function), function


def test_models_are_recognised() -> None:
    """`is_pydantic` tells model classes from everything else."""
    assert is_pydantic(Order)
    assert not is_pydantic(Line)
    assert not is_pydantic(list[Order])


def test_a_serde_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lookup that a context operation makes finds what was derived before, for lambdas made on the spot too."""
    default: Serde[Any] = DefaultSerde()
    lookups: dict[str, Callable[[], Any]] = {
        "plain": lambda: resolve_serde(default),
        "class": lambda: resolve_serde(default, Order),
        "alias": lambda: resolve_serde(default, list[Order]),
        "function": lambda: return_serde(_returns_order),
        "lambda": lambda: return_serde(lambda: 1),
    }
    known = {name: lookup() for name, lookup in lookups.items()}

    def derive_again(*_: object) -> None:
        raise AssertionError("a serde was derived a second time")

    monkeypatch.setattr(serde_module, "build_format", derive_again)
    monkeypatch.setattr(serde_module, "evaluate_annotation", derive_again)
    assert {name: lookup() for name, lookup in lookups.items()} == known


def test_the_choice_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types made at run time do not fill the memory: the choice is forgotten and made anew."""
    monkeypatch.setattr(serde_module._Chosen, "LIMIT", 8)
    for _ in range(20):
        made = pydantic.create_model("Made", n=(int, ...))
        assert isinstance(serde_for(made), TypedSerde)

    assert len(serde_module._Chosen.by_hint) <= 8
    unhashable = Annotated[int, ["a list"]]
    assert serde_for(unhashable).deserialize(b"1") == 1
