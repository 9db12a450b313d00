"""Types with validators and serializers of their own, and whether what is written of them is read as the same value.

Owns the search for such types, and the comparison of a value with what an attempt would be given. A serializer may
write what its type reads (a date in another form, a decimal as a text), or not (`****1234` for a card's number). A
validator may take what it has made itself (a text without spaces), or not (one that splits a text into a list). Which
of both, no type tells: so values of such types, and only these, are read back where they are written, before the work
is accepted.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    WrapSerializer,
    WrapValidator,
)
from pydantic.fields import FieldInfo

from durably_fastapi.analysis import metadata_of, plain_type

__all__ = ["first_difference", "is_custom"]

_FUNCTIONS: Final = (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    WrapSerializer,
    WrapValidator,
)
_DECORATORS: Final = (
    "field_serializers",
    "field_validators",
    "model_serializers",
    "model_validators",
    "root_validators",
    "validators",
)


def is_custom(annotation: Any) -> bool:
    """Tell whether functions of the user's take part in reading or writing a type."""
    return _is_custom(annotation, set())


def _is_custom(annotation: Any, seen: set[Any]) -> bool:
    if any(isinstance(each, _FUNCTIONS) for each in metadata_of(annotation)):
        return True
    plain = plain_type(annotation)
    if any(_is_custom(each, seen) for each in typing.get_args(plain)):
        return True
    origin = typing.get_origin(plain) or plain
    if not isinstance(origin, type) or origin in seen:
        return False
    seen.add(origin)
    decorators: object = getattr(origin, "__pydantic_decorators__", None)
    if any(getattr(decorators, name, None) for name in _DECORATORS):
        return True
    if issubclass(origin, BaseModel):
        return any(_is_custom_field(each, seen) for each in origin.model_fields.values())
    if dataclasses.is_dataclass(cast("Any", origin)) or typing.is_typeddict(cast("Any", origin)):
        hints = typing.get_type_hints(cast("Any", origin), include_extras=True)
        return any(_is_custom(each, seen) for each in hints.values())
    return False


def _is_custom_field(info: FieldInfo, seen: set[Any]) -> bool:
    return any(isinstance(each, _FUNCTIONS) for each in info.metadata) or _is_custom(info.annotation, seen)


def first_difference(given: Any, read: Any, path: str) -> str | None:
    """Give the path of the first part that was not read as it was given; None if all was.

    What has no equality of its own is not compared.
    """
    kind: Any = type(given)  # pyright: ignore[reportUnknownVariableType]
    match given:
        case BaseModel() if type(read) is kind:
            return _first_of(given.__dict__, read.__dict__, path)
        case list() | tuple() if isinstance(read, (list, tuple)):
            return _first_of(
                dict(enumerate(cast("Iterable[Any]", given))), dict(enumerate(cast("Iterable[Any]", read))), path
            )
        case dict() if isinstance(read, dict):
            members: dict[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
            return _first_of(members, read, path)  # pyright: ignore[reportUnknownArgumentType]
        case _ if kind.__eq__ is object.__eq__:
            return None
        case _:
            is_same = given == read or (given != given and read != read)  # NaN
            return None if is_same else path


def _first_of(given: Mapping[Any, Any], read: Mapping[Any, Any], path: str) -> str | None:
    if given.keys() != read.keys():
        return path
    found = (first_difference(value, read[name], f"{path}.{name}") for name, value in given.items())
    return next((each for each in found if each is not None), None)
