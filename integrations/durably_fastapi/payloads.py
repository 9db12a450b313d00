"""What an endpoint's invocation is given: a JSON object of named values.

Owns its model (JSON Schema for discovery, checks for callers that are no HTTP calls), its writing at the edge and its
reading on attempts. What is read on an attempt equals what was validated at the edge: defaults are written out, and
which fields of a model were left to their defaults travels beside them.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any, Final, cast

import pydantic
from fastapi import params
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WrapSerializer,
    create_model,
)
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, PydanticUndefined, to_json

from durably.errors import RegistrationError, SerdeError, UsageError
from durably.schemas import check_written, describe_problems
from durably.serde import TypedSerde
from durably_fastapi.analysis import metadata_of
from durably_fastapi.carriable import carried_type, what_is_lost
from durably_fastapi.dependencies import Named
from durably_fastapi.markers import EdgeMark, PerAttemptMark, StepMark
from durably_fastapi.reading_back import first_difference, is_custom

__all__ = ["PayloadSerde", "make_payload"]

_UNSET: Final = "durably_unset"
_HAS_NAMES: Final = tuple(int(each) for each in pydantic.VERSION.split(".")[:2]) >= (2, 11)
_READ: Final[dict[str, Any]] = {"by_alias": True, "by_name": True} if _HAS_NAMES else {}
# Names, because a field may be read by one alias and written by another.
_WRITE: Final[dict[str, Any]] = {"by_alias": not _HAS_NAMES, "round_trip": True}
_CONFIG: Final = ConfigDict(ser_json_inf_nan="strings")

_Path = list[str | int]


@dataclass(frozen=True, slots=True)
class _Field:
    """One named value: how it is written."""

    name: str
    adapter: TypeAdapter[Any]
    is_plain: bool
    is_read_back: bool

    def write(self, value: Any) -> bytes:
        if self.is_plain:
            _refuse_objects(value, self.name)
            return to_json(value, inf_nan_mode="strings")
        data = self.adapter.dump_json(value, **_WRITE)
        if b"null" in data:  # what a model of its own configuration writes for infinity, too
            data = to_json(self.adapter.dump_python(value, mode="json", **_WRITE), inf_nan_mode="strings")
        if self.is_read_back:
            self._read_back(value, data)
        return data

    def _read_back(self, value: Any, data: bytes) -> None:
        cause: Exception | None = None
        try:
            changed = first_difference(value, self.adapter.validate_json(data, **_READ), self.name)
        except ValidationError as error:
            changed, cause = ".".join((self.name, *(str(part) for part in error.errors()[0]["loc"]))), error
        except Exception as error:  # a validator may raise what it likes
            changed, cause = self.name, error
        if changed is not None:
            raise UsageError(
                f"`{changed}` does not survive the way to the attempts: it is written as JSON and read again, and a"
                " validator or serializer of its type does not give the same value then.",
                hint="Let it read what it has written, or let the endpoint take a model without it.",
            ) from cause


class PayloadSerde(TypedSerde[Mapping[str, Any]]):
    """Reads and writes the payload of one endpoint, as a mapping from names to values."""

    __slots__ = ("_fields", "_model", "_names_of")

    def __init__(self, model: type[BaseModel], fields: tuple[_Field, ...], names_of: Mapping[str, str]) -> None:
        """Take the model, its fields in order, and the name of each of the model's attributes."""
        super().__init__(model)
        self._model = model
        self._fields = {each.name: each for each in fields}
        self._names_of = names_of

    def serialize(self, obj: Mapping[str, Any] | None) -> bytes:
        """Write values by name; those that are left out get their defaults when they are read.

        Raises:
            SerdeError: A name is unknown, or a value is not of its type.
            UsageError: A validator or a serializer of the user's does not let a value be read as it was.
        """
        values = dict(obj or {})
        parts: list[bytes] = []
        unset: list[_Path] = []
        for name, value in values.items():
            field = self._fields.get(name)
            if field is None:
                raise SerdeError(f"The endpoint has no value {name!r}.", problems=(f"{name}: unknown",))
            try:
                parts.append(to_json(name) + b":" + field.write(value))
            except PydanticSerializationError as error:
                raise SerdeError(
                    f"{name} cannot be written as JSON: {error}.", problems=(f"{name}: {error}",)
                ) from error
            unset.extend(_unset_below(value, [name]))
        if unset:
            parts.append(to_json(_UNSET) + b":" + to_json(unset))
        data = b"{" + b",".join(parts) + b"}"
        check_written(data)
        return data

    def deserialize(self, buf: bytes) -> Mapping[str, Any]:
        """Read and check all values.

        Raises:
            SerdeError: Names the values that are wrong, without showing them.
        """
        try:
            model = self._model.model_validate_json(buf or b"{}", **_READ)
        except ValidationError as error:
            problems = describe_problems(error)
            raise SerdeError(f"Not a valid payload: {'; '.join(problems)}.", problems=problems) from error
        values = {name: getattr(model, attribute) for attribute, name in self._names_of.items()}
        for path in cast("list[_Path] | None", values.pop(_UNSET)) or ():
            _unset(values, path)
        return values


def make_payload(title: str, carried: Mapping[str, Named]) -> PayloadSerde:
    """Make the payload of an endpoint.

    Args:
        title: Name of the model in JSON Schema.
        carried: The named values.

    Raises:
        RegistrationError: A value cannot be carried as JSON.
    """
    fields: list[_Field] = []
    definitions: dict[str, Any] = {}
    names_of: dict[str, str] = {}
    for index, named in enumerate(carried.values()):
        if named.name == _UNSET:
            raise RegistrationError(f"{named.declared}: this name is reserved.", hint="Rename the parameter.")
        annotation, info = _definition(named)
        fields.append(_Field(named.name, _adapter(annotation, named), named.type in _UNTYPED, _is_custom(named)))
        # Parameters may be called what no attribute of a model may: `_user`, `json`, `model_config`.
        definitions[f"value_{index}"] = (annotation, info)
        names_of[f"value_{index}"] = named.name
    told = "Fields that were left to their defaults, as paths. Leave it out to have all fields count as given."
    definitions["unset"] = (list[list[str | int]] | None, Field(default=None, alias=_UNSET, description=told))
    names_of["unset"] = _UNSET
    model: type[BaseModel] = create_model(title, __config__={**_CONFIG, "extra": "forbid"}, **definitions)
    return PayloadSerde(model, tuple(fields), names_of)


_UNTYPED: Final[tuple[Any, ...]] = (Any, object, Parameter.empty)


def _definition(named: Named) -> tuple[Any, FieldInfo]:
    """Give a value's annotation and field: its checks without what is about HTTP."""
    declared, given = named.declared, named.declared.field
    hint = Any if named.type is Parameter.empty else carried_type(named.type)
    checks = [
        each
        for each in (metadata_of(declared.parameter.annotation) if hint is not Any else ())
        if not isinstance(each, (FieldInfo, params.Depends, EdgeMark, PerAttemptMark, StepMark))
    ]
    extra: dict[str, Any] = {"alias": named.name}
    if not any(isinstance(each, (PlainSerializer, WrapSerializer)) for each in checks):
        # They have run at the edge, and to run twice need not give the same.
        checks = [each for each in checks if not isinstance(each, (AfterValidator, BeforeValidator))]
    default: Any = declared.parameter.default
    if given is not None:
        checks.extend(given.metadata)
        extra["description"] = given.description
        extra["title"] = given.title
        if given.discriminator is not None:
            extra["discriminator"] = given.discriminator
        if given.default_factory is not None:
            extra["default_factory"] = given.default_factory
        if isinstance(default, FieldInfo) or default is Parameter.empty:
            default = given.default
    if not named.is_edge and default not in _REQUIRED and "default_factory" not in extra:
        extra["default"] = default
        if default is None and not _takes_none(hint):
            hint = hint | None if isinstance(hint, type) else typing.Optional[hint]  # noqa: UP045
    for check in checks:
        hint = Annotated[hint, check]
    return hint, Field(**extra)


class _Required:
    """What stands where a parameter has no default; compared by identity, because defaults may be anything."""

    def __contains__(self, default: object) -> bool:
        return default is Parameter.empty or default is PydanticUndefined or default is ...


_REQUIRED: Final = _Required()


def _takes_none(hint: Any) -> bool:
    return hint is None or hint is Any or type(None) in typing.get_args(hint)


def _adapter(annotation: Any, named: Named) -> TypeAdapter[Any]:
    hint = (
        "Return data from it (a pydantic model, a dataclass, texts, numbers), if need be from one more dependency that"
        " takes what it gives, such as a row, and returns what of it the endpoint needs; or mark it PerAttempt."
        if named.is_edge
        else "Use a type that pydantic can write as JSON and read again."
    )
    lost = what_is_lost(named.type)
    if lost is not None:
        lost = lost.replace("it", f"`{named.name}`", 1)
        raise RegistrationError(
            f"{named.declared} does not survive the way to the attempts as JSON: {lost}.", hint=hint
        )
    try:
        return _type_adapter(annotation)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError) as error:
        # The first sentence; what follows is advice for models, which does not help here.
        reason = str(error).partition("\n")[0].partition(". Set `arbitrary_types_allowed")[0]
        raise RegistrationError(
            f"{named.declared} cannot be carried to the attempts as JSON: {reason.rstrip('.')}.", hint=hint
        ) from error


def _type_adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # it brings its own


def _is_custom(named: Named) -> bool:
    checks = metadata_of(named.declared.parameter.annotation)
    return is_custom(named.type) or any(isinstance(each, (PlainSerializer, WrapSerializer)) for each in checks)


def _refuse_objects(value: Any, name: str) -> None:
    """Refuse what would come back as something else: a value without a declared type has to be plain JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return
        case list():
            items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
            for each in items:
                _refuse_objects(each, name)
        case dict():
            members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
            for each in members.values():
                _refuse_objects(each, name)
        case _:
            raise UsageError(
                f"The dependency `{name}` runs at the edge and gave a {type(value).__name__}, but its type is not"
                " declared, so attempts would get plain JSON.",
                hint="Annotate the parameter with the type.",
            )


def _unset_below(value: Any, path: _Path) -> Iterator[_Path]:
    """Find the fields of models that were left to their defaults."""
    match value:
        case BaseModel():
            fields_set = value.model_fields_set
            for name in type(value).model_fields:
                if name not in fields_set:
                    yield [*path, name]
                yield from _unset_below(getattr(value, name), [*path, name])
        case list() | tuple():
            for index, each in enumerate(cast("list[Any]", value)):
                yield from _unset_below(each, [*path, index])
        case dict():
            members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
            for key, each in members.items():
                if isinstance(key, str):
                    yield from _unset_below(each, [*path, key])
        case _ if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                yield from _unset_below(getattr(value, field.name), [*path, field.name])
        case _:
            return


def _unset(value: Any, path: _Path) -> None:
    """Let a field count as left to its default. A path that leads nowhere is the caller's, and changes nothing."""
    for part in path[:-1]:
        match value:
            case dict() if part in value:
                members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
                value = members[part]
            case list() | tuple() if isinstance(part, int) and 0 <= part < len(cast("list[Any]", value)):
                value = cast("list[Any]", value)[part]
            case BaseModel() if part in type(value).model_fields:
                value = getattr(value, str(part))
            case _ if dataclasses.is_dataclass(value) and part in {each.name for each in dataclasses.fields(value)}:
                value = getattr(value, str(part))
            case _:
                return
    if isinstance(value, BaseModel):
        value.model_fields_set.discard(str(path[-1]))
