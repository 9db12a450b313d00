"""The JSON format of a Python type: how to write it, read it, check it and describe it.

Owns the only place that builds pydantic `TypeAdapter`s (and msgspec decoders), and the wording of what is wrong
with a value: the field's path and the rule, never the value. JSON only. Knows nothing of serdes' caching,
handlers or the wire.
"""

from __future__ import annotations

import json
import math
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import from_json

from durably.errors import MissingExtraError, SerdeError, UsageError
from durably.typed_dicts import with_known_typed_dicts

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails, ValidationError

__all__ = [
    "MAX_DEPTH",
    "UNCHECKED_BYTES",
    "JsonFormat",
    "UndefinedTypeError",
    "build_format",
    "check_written",
    "describe_problems",
    "is_struct",
    "msgspec_format",
]

SchemaMode = Literal["validation", "serialization"]

_MAX_PROBLEMS = 5
"""As many wrong fields are named; more would only make the message long."""

MAX_DEPTH = 200
"""As many lists and objects inside each other can be read; the parser's limit."""

UNCHECKED_BYTES = 2 * MAX_DEPTH
"""JSON this short cannot be too deep: each level has two brackets."""

_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_SCALARS: tuple[Any, ...] = (str, int, bool)
"""Types whose own instances need no check: they hold nothing of another type, and no NaN."""

_MAX_PATH_PART_CHARS = 64
"""A path can hold keys that the caller chose, so each part is cut here."""


class UndefinedTypeError(UsageError, NameError):
    """A type refers to a name that is not defined yet; it may be later."""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """How values of one type are written and read.

    Attributes:
        write: Value to JSON; a value of another type is converted first if the type allows it.
        read: JSON to a validated value. Both raise SerdeError and nothing else of their own.
        schema: JSON Schema (2020-12, all references inside it), or None if the type has none.
        accepts_none: Whether `None` is a value of the type.
    """

    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    schema: Callable[[SchemaMode], dict[str, Any] | None]
    accepts_none: bool


def is_struct(hint: Any) -> bool:
    """Tell whether `hint` is a msgspec Struct class, without importing msgspec for it."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _holds_struct(hint: Any) -> bool:
    return is_struct(hint) or any(_holds_struct(argument) for argument in typing.get_args(hint))


def build_format(hint: Any, names: Mapping[str, Any] | None = None) -> JsonFormat:
    """Derive the JSON format of a type.

    Args:
        hint: A type as it stands in an annotation; no text.
        names: Names that its fields' annotations may use besides those of their modules.

    Raises:
        UndefinedTypeError: A field's annotation names something not defined (yet).
        UsageError: The type has no JSON format; the text names it.
    """
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError

    if is_struct(hint):
        return msgspec_format(hint)
    try:
        adapter = _type_adapter(with_known_typed_dicts(hint), names)
    except PydanticSchemaGenerationError as error:
        if _holds_struct(hint):
            return msgspec_format(hint)
        raise UsageError(
            f"No JSON format can be derived from the type {hint!r}.",
            hint="Use a dataclass, TypedDict, pydantic model or built-in type, or pass serde=….",
        ) from error
    except PydanticUndefinedAnnotation as error:
        raise UndefinedTypeError(f"The type {hint!r} refers to {error.name!r}, which is not defined.") from error
    except PydanticUserError as error:
        if error.code == "class-not-fully-defined":
            raise UndefinedTypeError(f"The type {hint!r} is not fully defined: {error.message}") from error
        raise UsageError(f"No JSON format can be derived from the type {hint!r}: {error.message}") from error
    return _pydantic_format(hint, adapter)


def _type_adapter(hint: Any, names: Mapping[str, Any] | None) -> TypeAdapter[Any]:
    """Build pydantic's adapter, and once more with more names in sight if one was missing."""
    from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

    try:
        return _configured_adapter(hint)
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        undefined = isinstance(error, PydanticUndefinedAnnotation) or error.code == "class-not-fully-defined"
        if not undefined or not names:
            raise
        # pydantic looks for names in the calling frame's locals, so give it a frame that has them.
        rebuild: Callable[[], None] | None = getattr(hint, "model_rebuild", None)
        frame_code = compile("adapter = build(hint)", __file__, "exec").replace(co_name="names_in_sight")
        scope = dict(names)
        if rebuild is not None:
            hint.model_rebuild(raise_errors=False, _types_namespace=scope)
        exec(frame_code, {"build": _configured_adapter, "hint": hint}, scope)  # noqa: S102 - a constant text
        adapter: TypeAdapter[Any] = scope["adapter"]
        return adapter


def _configured_adapter(hint: Any) -> TypeAdapter[Any]:
    """Build an adapter with bytes as base64, unless the type brings its own configuration."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    depth = 3  # the caller's frame, where names are looked up
    adapter: TypeAdapter[Any]
    try:
        adapter = TypeAdapter(hint, config=config, _parent_depth=depth)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        adapter = TypeAdapter(hint, _parent_depth=depth)
    _ = adapter.validator.validate_json  # raises now if a name was missing
    return adapter


def _pydantic_format(hint: Any, adapter: TypeAdapter[Any]) -> JsonFormat:
    from pydantic.errors import PydanticInvalidForJsonSchema
    from pydantic_core import PydanticSerializationError, ValidationError

    to_json = adapter.serializer.to_json
    validate_json = adapter.validator.validate_json
    validate_python = adapter.validator.validate_python

    def write_scalar(value: Any) -> bytes:
        if type(value) is not hint:
            return write(value)
        try:
            return to_json(value)
        except PydanticSerializationError as error:  # a lone surrogate
            raise SerdeError(f"{_unwritable(value, hint)}: {error}") from error

    def write(value: Any) -> bytes:
        try:
            # by_alias, because an alias is also the name under which the field is read
            data = to_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError:
            data = _write_converted(value)
        if len(data) > UNCHECKED_BYTES or b"NaN" in data or b"Infinity" in data:
            check_written(data)
        return data

    def _write_converted(value: Any) -> bytes:
        try:
            return to_json(validate_python(value), by_alias=True, warnings="error")
        except ValidationError as error:
            problems = describe_problems(error)
            raise SerdeError(f"{_unwritable(value, hint)}: {'; '.join(problems)}.", problems=problems) from error
        except PydanticSerializationError as error:
            raise SerdeError(f"{_unwritable(value, hint)}: {error}") from error

    may_hold_numbers = hint not in _SCALARS  # that are no integers

    def read(data: bytes) -> Any:
        try:
            if may_hold_numbers and (b"NaN" in data or b"Infinity" in data):
                from_json(data, allow_inf_nan=False)
            return validate_json(data)
        except ValidationError as error:
            problems = describe_problems(error)
            raise SerdeError(f"Not a valid {_name(hint)}: {'; '.join(problems)}.", problems=problems) from error
        except ValueError as error:
            raise SerdeError(f"Not valid JSON: {error}.", problems=(f"not valid JSON: {error}",)) from error

    def schema(mode: SchemaMode) -> dict[str, Any] | None:
        try:
            return _without_infinity(adapter.json_schema(mode=mode))
        except PydanticInvalidForJsonSchema:
            return None

    return JsonFormat(
        write=write_scalar if hint in _SCALARS else write,
        read=read,
        schema=schema,
        accepts_none=_accepts_none(validate_python),
    )


def _without_infinity(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out members that are NaN or infinity, such as the default of a limit: JSON has no form for them."""
    try:
        json.dumps(schema, allow_nan=False)
    except ValueError:
        finite: dict[str, Any] = _finite(schema)
        return finite
    return schema


def _finite(part: Any) -> Any:
    match part:
        case dict():
            members: dict[str, Any] = part  # pyright: ignore[reportUnknownVariableType]
            return {name: _finite(value) for name, value in members.items() if not _is_infinite(value)}
        case list():
            items: list[Any] = part  # pyright: ignore[reportUnknownVariableType]
            return [_finite(value) for value in items if not _is_infinite(value)]
        case _:
            return part


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _accepts_none(validate_python: Callable[[Any], Any]) -> bool:
    from pydantic_core import ValidationError

    try:
        validate_python(None)
    except ValidationError:
        return False
    return True


def msgspec_format(hint: Any) -> JsonFormat:
    """Derive the JSON format of a type with msgspec.

    Raises:
        MissingExtraError: msgspec is not installed.
        TypeError: msgspec does not know the type.
    """
    try:
        import msgspec
    except ImportError as error:
        raise MissingExtraError("A msgspec type", "msgspec") from error

    encode = msgspec.json.encode
    decode = msgspec.json.Decoder(hint).decode

    def write(value: Any) -> bytes:
        try:
            return encode(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise SerdeError(f"{_unwritable(value, hint)}: {error}.") from error

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            # msgspec ends its message with the place: "Expected `int`, got `str` - at `$.lines[0].price`".
            rule, _, place = str(error).partition(" - at `")
            path = place.rstrip("`").removeprefix("$").removeprefix(".")
            problem = f"{path}: {rule}" if path else rule
            raise SerdeError(f"Not a valid {_name(hint)}: {problem}.", problems=(problem,)) from error

    def schema(mode: SchemaMode) -> dict[str, Any] | None:
        try:
            return msgspec.json.schema(hint)
        except TypeError:
            return None

    return JsonFormat(write=write, read=read, schema=schema, accepts_none=_msgspec_accepts_none(hint))


def _msgspec_accepts_none(hint: Any) -> bool:
    import msgspec

    try:
        msgspec.convert(None, hint)
    except msgspec.ValidationError:
        return False
    return True


def check_written(data: bytes) -> None:
    """Refuse JSON that could not be read back.

    Raises:
        SerdeError: It holds NaN or infinity, or is too deep.
    """
    if b"NaN" in data or b"Infinity" in data:
        try:
            from_json(data, allow_inf_nan=False)
        except ValueError as error:
            hint = "Write None or a string in their place."
            raise SerdeError("NaN and infinity have no JSON form.", hint=hint) from error
    if len(data) > UNCHECKED_BYTES and _may_be_deep(data):
        try:
            from_json(data)
        except ValueError as error:
            raise SerdeError(f"The value is deeper than {MAX_DEPTH} levels: {error}.") from error


def _may_be_deep(data: bytes) -> bool:
    """Tell, without parsing, whether JSON may be deeper than can be read; brackets inside texts count as well."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = data.translate(_SQUARE, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)


def describe_problems(error: ValidationError) -> tuple[str, ...]:
    """Say field by field what is wrong, without any value that was received."""
    details = error.errors(include_url=False)
    found = [_describe(detail) for detail in details[:_MAX_PROBLEMS]]
    if len(details) > _MAX_PROBLEMS:
        found.append(f"and {len(details) - _MAX_PROBLEMS} more")
    return tuple(found)


def _describe(detail: ErrorDetails) -> str:
    path = ""
    for part in detail["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part[:_MAX_PATH_PART_CHARS]}" if path else part[:_MAX_PATH_PART_CHARS]
    message = detail["msg"]
    received: list[Any] = [detail["input"], *(detail.get("ctx") or {}).values()]
    if detail["type"] != "json_invalid" and any(_echoes(message, value, detail["type"]) for value in received):
        message = f"not acceptable ({detail['type']})"
    return f"{path}: {message}" if path else message


def _echoes(message: str, value: Any, error_type: str) -> bool:
    """Tell whether a message repeats what was received; rules such as `greater_than` carry no such text."""
    if not isinstance(value, str) or len(value) < 2:
        return False
    return value in message and error_type in {"value_error", "assertion_error", "union_tag_invalid"}


def _unwritable(value: Any, hint: Any) -> str:
    return f"A {type(value).__name__} cannot be written as {_name(hint)}"


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Annotated:
        return _name(typing.get_args(hint)[0])
    return hint.__name__ if isinstance(hint, type) else str(hint)
