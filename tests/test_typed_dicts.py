"""`typing.TypedDict` works on every supported Python, inside other types too."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pydantic
import pytest

from durably.errors import SerdeError
from durably.serde import serde_for
from durably.typed_dicts import with_known_typed_dicts


class Street(TypedDict):
    """A street."""

    name: str
    number: NotRequired[int]


class Address(TypedDict, total=False):
    """An address."""

    street: Street
    lines: list[Street]


HINTS: list[tuple[Any, Any]] = [
    (Street, {"name": "a"}),
    (Address, {"lines": [{"name": "a", "number": 1}]}),
    (list[Street], [{"name": "a"}]),
    (dict[str, Address], {"home": {}}),
    (Street | None, {"name": "a"}),
    (Optional[Street], {"name": "a"}),  # noqa: UP045 - the older spelling is another object
    (tuple[Street, ...], ({"name": "a"},)),
    (Annotated[list[Street], pydantic.Field(max_length=2)], [{"name": "a"}]),
]


@pytest.mark.parametrize(("hint", "value"), HINTS, ids=[f"case {number}" for number in range(len(HINTS))])
def test_values_come_back(hint: Any, value: Any) -> None:
    """A TypedDict is validated wherever it stands in a type."""
    serde = serde_for(hint)

    assert serde.deserialize(serde.serialize(value)) == value


def test_fields_are_checked_by_name() -> None:
    """Required keys are required, the others are not, and problems carry the path."""
    with pytest.raises(SerdeError) as caught:
        serde_for(list[Address]).deserialize(b'[{"lines":[{"number":"x"}]}]')

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "[0].lines[0].name",
        "[0].lines[0].number",
    ]


def test_other_types_stay_as_they_are() -> None:
    """Types without a TypedDict are not touched."""
    plain = dataclasses.make_dataclass("Plain", ["x"])
    for hint in (int, list[int], plain, dict[str, plain | None], Literal["a"], Annotated[int, 1], ...):
        assert with_known_typed_dicts(hint) is hint


def test_a_field_annotated_through_the_model() -> None:
    """A constraint around a TypedDict still holds."""
    with pytest.raises(SerdeError):
        serde_for(HINTS[-1][0]).deserialize(b'[{"name":"a"},{"name":"a"},{"name":"a"}]')
