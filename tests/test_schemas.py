"""The JSON format of a type: what is refused, and in which words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pydantic
import pytest

from durably.errors import SerdeError, UsageError
from durably.schemas import MAX_DEPTH, build_format
from durably.serde import (
    MsgspecJsonSerde,
    TypedSerde,
    serde_for,
)


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


class Point(msgspec.Struct):
    x: int
    y: int = 0


class Cat(pydantic.BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str]


BOMBS = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge integer": b"9" * 100_000,
    "nan": b"NaN",
    "infinity inside": b"[-Infinity]",
    "lone surrogate": b'"\\ud800"',
    "not utf-8": b'"\xff"',
    "cut": b'{"a": [1, 2',
    "text after": b"1 2",
}


@pytest.mark.parametrize("hint", [None, Any, list[int], float, dict[str, Any], Order, Line], ids=str)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_hostile_json_is_refused(hint: Any, bomb: bytes) -> None:
    """Deep, huge, invalid or non-finite JSON is a SerdeError with and without a type, and never anything else."""
    with pytest.raises(SerdeError):
        serde_for(hint).deserialize(bomb)


def test_problems_name_the_path_and_not_the_value() -> None:
    """Every wrong field is named by its path, at most five of them, and no value that was received is repeated."""
    body = b'{"id":"s3cret","lines":[{"sku":1,"price":"s3cret"},{"price":"1","at":"s3cret"}],"colour":"s3cret"}'

    with pytest.raises(SerdeError) as caught:
        serde_for(Order).deserialize(body)

    paths = [problem.partition(":")[0] for problem in caught.value.problems]
    assert paths == ["id", "lines[0].sku", "lines[0].price", "lines[1].sku", "lines[1].at", "and 1 more"]
    assert "s3cret" not in str(caught.value)


class Guarded(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def _check(cls, value: str) -> str:
        raise ValueError(f"{value} is not allowed")


@pytest.mark.parametrize(
    ("hint", "body"),
    [
        (Guarded, b'{"name":"s3cret"}'),
        (Annotated[Cat | Dog, pydantic.Field(discriminator="kind")], b'{"kind":"s3cret"}'),
        (dict[str, int], b'{"' + b"k" * 1000 + b'":"x"}'),
    ],
    ids=["validator", "discriminator", "long key"],
)
def test_messages_that_would_repeat_the_value_are_replaced(hint: Any, body: bytes) -> None:
    """A validator's text or a union's tag is not passed on when it holds the value; long keys are cut."""
    with pytest.raises(SerdeError) as caught:
        serde_for(hint).deserialize(body)

    assert "s3cret" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_structs_name_their_fields_too() -> None:
    """What msgspec reports is told in the same form."""
    with pytest.raises(SerdeError) as caught:
        serde_for(list[Point]).deserialize(b'[{"x":1},{"x":"a"}]')
    assert caught.value.problems == ("[1].x: Expected `int`, got `str`",)
    with pytest.raises(SerdeError):
        MsgspecJsonSerde(Point).serialize(Point(object()))  # type: ignore[arg-type]


class Opaque:
    pass


def test_a_type_without_a_json_form_is_named() -> None:
    """A type that neither pydantic nor msgspec knows is refused with its name and what to use instead."""
    with pytest.raises(UsageError, match=r"Opaque.*Use a dataclass"):
        serde_for(list[Opaque])


def test_types_may_be_completed_later() -> None:
    """A model that refers to one defined further down works once that exists, and says so until then."""

    class Tree(pydantic.BaseModel):
        below: list[LaterLeaf]  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable]

    serde = TypedSerde[Tree](Tree)
    with pytest.raises(UsageError, match="not fully defined"):
        serde.deserialize(b'{"below":[]}')

    class LaterLeaf(pydantic.BaseModel):
        n: int

    Tree.model_rebuild(_types_namespace={"LaterLeaf": LaterLeaf})
    assert serde.deserialize(b'{"below":[{"n":1}]}').below[0].n == 1  # type: ignore[union-attr]


def test_dataclasses_inside_functions_see_their_neighbours() -> None:
    """A local dataclass with a field of another local dataclass works when the names in sight are passed."""

    @dataclass
    class Inner:
        n: int

    @dataclass
    class Outer:
        inner: list[Inner]

    serde = serde_for(Outer, {"Inner": Inner})
    assert Outer([Inner(1)]) == serde.deserialize(b'{"inner":[{"n":1}]}')


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("hint", [None, list[Any]], ids=["plain", "typed"])
def test_whatever_is_written_can_be_read(hint: Any) -> None:
    """Values as deep as the parser reads are written, deeper ones are refused at once and not when they are read."""
    serde = serde_for(hint)

    assert serde.deserialize(serde.serialize(_nested(MAX_DEPTH))) == _nested(MAX_DEPTH)
    for depth in range(MAX_DEPTH + 1, MAX_DEPTH + 120):
        with pytest.raises(SerdeError):
            serde.serialize(_nested(depth))
    wide = [[[text] for text in ("[[[[", "]", '"{')] * 100, {"k": [{}] * 300}]
    assert serde.deserialize(serde.serialize(wide)) == wide
    assert serde.deserialize(serde.serialize(["[" * 1000])) == ["[" * 1000]


def test_infinity_is_left_out_of_schemas():
    """JSON has no form for it: the default of a limit would make the whole manifest unwritable."""

    class Limit(pydantic.BaseModel):
        most: float = float("inf")
        choices: list[float] = [float("nan"), 1.5]

    schema = build_format(Limit).schema("validation")
    assert schema is not None
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert "default" not in schema["properties"]["most"]
    assert schema["properties"]["choices"]["type"] == "array"
