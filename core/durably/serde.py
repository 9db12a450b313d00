"""How values become bytes and come back: for input, output, state, steps, promises and awakeables.

Owns the `Serde` interface, the ready-made serdes, and the choice of one for a type. JSON only, never pickle.

* No value is the absence of bytes: every serde writes `None` as `b""` and reads `b""` as `None`.
* Without a type JSON is read as plain lists, dicts, strings and numbers.
* With a type (dataclass, TypedDict, pydantic model, msgspec Struct, datetime, UUID, Decimal, Enum, unions,
  generics, …) the value that is read has that type, or `SerdeError` names the field.

Depends on nothing but `errors`, `schemas` and `annotations`.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import sys
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from inspect import Signature
from types import CodeType, FunctionType, UnionType
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic_core import from_json, to_json

from durably.annotations import evaluate_annotation, raw_annotations
from durably.errors import SerdeError
from durably.schemas import (
    UNCHECKED_BYTES,
    JsonFormat,
    UndefinedTypeError,
    build_format,
    check_written,
    is_struct,
    msgspec_format,
)

__all__ = [
    "DEFAULT_SERDE",
    "BytesSerde",
    "DefaultSerde",
    "JsonSerde",
    "MsgspecJsonSerde",
    "PydanticJsonSerde",
    "Serde",
    "TypedSerde",
    "is_pydantic",
    "resolve_serde",
    "return_serde",
    "serde_for",
]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - these two names are public in the Python peer


class Serde(ABC, Generic[T]):
    """Writes values of one type as bytes and reads them back. Subclass it for a format of your own.

    A serde must write equal values as equal bytes: a replay compares them with the journal.
    """

    @abstractmethod
    def deserialize(self, buf: bytes) -> T | None:
        """Read a value. `b""` stands for None.

        Raises:
            SerdeError: The bytes are not such a value; any other exception counts the same.
        """

    @abstractmethod
    def serialize(self, obj: T | None) -> bytes:
        """Write a value. None is `b""`.

        Raises:
            SerdeError: The value cannot be written.
        """


class BytesSerde(Serde[bytes]):
    """Passes bytes through as they are; `b""` stays `b""`."""

    def deserialize(self, buf: bytes) -> bytes | None:
        """Give the bytes themselves."""
        return buf

    def serialize(self, obj: bytes | None) -> bytes:
        """Give the bytes themselves, or none for None."""
        return b"" if obj is None else bytes(obj)


class JsonSerde(Serde[I]):
    """Plain JSON: what is read is made of dicts, lists, strings, numbers, booleans and None.

    Writing also accepts dataclasses, pydantic models, datetimes and the like. They come back as plain JSON.
    """

    def deserialize(self, buf: bytes) -> I | None:
        """Read one JSON document.

        Raises:
            SerdeError: Not JSON by RFC 8259, deeper than 200 levels, or a number with over 4,300 digits.
        """
        if not buf:
            return None
        try:
            return cast(I, from_json(buf, allow_inf_nan=False))
        except ValueError as error:
            raise SerdeError(f"Not valid JSON: {error}.", problems=(f"not valid JSON: {error}",)) from error

    def serialize(self, obj: I | None) -> bytes:
        """Write one JSON document, UTF-8, without spaces.

        Raises:
            SerdeError: A value in it has no JSON form: NaN, a lone surrogate, a cycle, an unknown class.
        """
        if obj is None:
            return b""
        try:
            data = to_json(obj, fallback=_write_unknown)
        except (ValueError, TypeError) as error:
            raise SerdeError(f"A {type(obj).__name__} cannot be written as JSON: {error}.") from error
        if len(data) > UNCHECKED_BYTES or b"NaN" in data or b"Infinity" in data:
            check_written(data)
        return data


def _write_unknown(value: Any) -> Any:
    if is_struct(type(value)):
        return sys.modules["msgspec"].to_builtins(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class TypedSerde(Serde[T]):
    """JSON of one type; what `DefaultSerde`, annotations and `type_hint=` lead to.

    A value of another type is converted when it is written, if the type allows that: what is stored always
    reads back as the type.
    """

    __slots__ = ("_format", "_names", "_read", "_write", "hint")

    def __init__(self, hint: Any, names: Mapping[str, Any] | None = None) -> None:
        """Derive the format now, or at first use if a name in the type is not defined yet.

        Raises:
            UsageError: The type has no JSON format.
        """
        self.hint: Any = hint
        self._names = names
        self._format: JsonFormat | None = None
        self._write: Callable[[Any], bytes] = self._derive_and_write
        self._read: Callable[[bytes], Any] = self._derive_and_read
        try:
            self._keep(build_format(hint, names))
        except UndefinedTypeError:
            pass  # derived at first use; fails then if the name is still missing

    def _keep(self, json_format: JsonFormat) -> JsonFormat:
        self._format = json_format
        self._write = json_format.write
        self._read = json_format.read
        return json_format

    @property
    def format(self) -> JsonFormat:
        """The JSON format of the type."""
        return self._format or self._keep(build_format(self.hint, self._names))

    def _derive_and_write(self, value: Any) -> bytes:
        return self.format.write(value)

    def _derive_and_read(self, data: bytes) -> Any:
        return self.format.read(data)

    def deserialize(self, buf: bytes) -> T | None:
        """Read a value of the type.

        Raises:
            SerdeError: Not JSON, or not such a value; `problems` names the fields.
        """
        value: T | None = self._read(buf) if buf else None
        return value

    def serialize(self, obj: T | None) -> bytes:
        """Write a value of the type, or one that converts to it.

        Raises:
            SerdeError: The value is neither.
        """
        return b"" if obj is None else self._write(obj)


class DefaultSerde(Serde[I]):
    """The serde that is used unless another is named: JSON, by type where a type is known.

    Where it is passed (or left) as an argument, the type comes from `type_hint=` or from the annotation.
    """

    def __init__(self, type_hint: type[I] | None = None) -> None:
        """Read and write values of `type_hint`; None means plain JSON."""
        super().__init__()
        self.type_hint: Any = type_hint

    def with_maybe_type(self, type_hint: type[I] | None = None) -> DefaultSerde[I]:
        """Give a new serde for `type_hint`; this one stays as it is."""
        return DefaultSerde(type_hint)

    def deserialize(self, buf: bytes) -> I | None:
        """Read a value of the type, if one is known, else plain JSON.

        Raises:
            SerdeError: Not JSON, or not such a value.
        """
        return cast("I | None", serde_for(self.type_hint).deserialize(buf))

    def serialize(self, obj: I | None) -> bytes:
        """Write a value of the type, if one is known, else plain JSON.

        Raises:
            SerdeError: The value cannot be written.
        """
        return serde_for(self.type_hint).serialize(obj)


DEFAULT_SERDE: Serde[Any] = DefaultSerde()
"""What `serde=` is where nothing is passed."""


class PydanticJsonSerde(Serde[I]):
    """JSON of a pydantic model, or of any type pydantic knows."""

    def __init__(self, model: type[I]) -> None:
        """Read and write values of `model`."""
        self.model = model
        self._typed: TypedSerde[I] = TypedSerde(model)

    def deserialize(self, buf: bytes) -> I | None:
        """Read a model.

        Raises:
            SerdeError: Not JSON, or not such a model; `problems` names the fields.
        """
        return self._typed.deserialize(buf)

    def serialize(self, obj: I | None) -> bytes:
        """Write a model.

        Raises:
            SerdeError: Not such a model.
        """
        return self._typed.serialize(obj)


class MsgspecJsonSerde(Serde[I]):
    """JSON of a msgspec Struct, or of any type msgspec knows. Needs the extra `msgspec`."""

    def __init__(self, model: type[I]) -> None:
        """Read and write values of `model`.

        Raises:
            MissingExtraError: msgspec is not installed.
        """
        self.model = model
        self._format = msgspec_format(model)

    def deserialize(self, buf: bytes) -> I | None:
        """Read a struct.

        Raises:
            SerdeError: Not JSON, or not such a struct; `problems` names the field.
        """
        return cast(I, self._format.read(buf)) if buf else None

    def serialize(self, obj: I | None) -> bytes:
        """Write a struct.

        Raises:
            SerdeError: A value in it has no JSON form.
        """
        return b"" if obj is None else self._format.write(obj)


class _Chosen:
    """The serdes chosen so far. Bounded, because types can be made at run time."""

    LIMIT: ClassVar[int] = 4096

    by_hint: ClassVar[dict[Any, tuple[Any, bool, Serde[Any]]]] = {}
    """Hint → the hint itself, whether the order in it matters, its serde."""

    by_return_hint: ClassVar[dict[Any, tuple[Any, bool, Serde[Any]]]] = {}
    """The same by a function's return annotation, where `Awaitable[X]` means X."""

    by_return_text: ClassVar[dict[int, tuple[CodeType, dict[str, Any], str, Serde[Any]]]] = {}
    """The same where annotations are text: identity of the code → it, the names and the text it was evaluated with,
    the serde. Hashing code objects would take longer than all the rest."""


_PLAIN: Serde[Any] = JsonSerde()
_UNTYPED: frozenset[Any] = frozenset({None, Any, object, type(None), Signature.empty})


def is_pydantic(annotation: Any) -> bool:
    """Tell whether `annotation` is a pydantic model class."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def serde_for(hint: Any, names: Mapping[str, Any] | None = None) -> Serde[Any]:
    """Give the serde of a type, built once; plain JSON for None, `Any` and `object`.

    Args:
        hint: A type as it stands in an annotation, no text.
        names: Names that annotations inside the type may use besides those of their modules.

    Raises:
        UsageError: The type has no JSON format.
    """
    try:
        known = _Chosen.by_hint.get(hint)
    except TypeError:  # an unhashable hint, as Annotated with a list in it
        return _PLAIN if hint is None else TypedSerde(hint, names)
    if known is not None and (not known[1] or _same(known[0], hint)):
        return known[2]
    serde: Serde[Any] = _PLAIN if hint in _UNTYPED or isinstance(hint, TypeVar) else TypedSerde(hint, names)
    _remember(_Chosen.by_hint, hint, serde)
    return serde


def _remember(chosen: dict[Any, tuple[Any, bool, Serde[Any]]], hint: Any, serde: Serde[Any]) -> None:
    if len(chosen) >= _Chosen.LIMIT:
        chosen.clear()
    chosen[hint] = (hint, _order_matters(hint), serde)


def _order_matters(hint: Any) -> bool:
    """Tell whether a hint holds a union: `A | B` equals `B | A`, but its members are tried in another order."""
    if typing.get_origin(hint) in {typing.Union, UnionType}:
        return True
    return any(_order_matters(argument) for argument in typing.get_args(hint))


def _same(one: Any, other: Any) -> bool:
    """Tell whether two equal hints hold the same members in the same order."""
    ours, theirs = typing.get_args(one), typing.get_args(other)
    return len(ours) == len(theirs) and all(a == b and _same(a, b) for a, b in zip(ours, theirs, strict=True))


def resolve_serde(serde: Serde[T], type_hint: Any = None) -> Serde[T]:
    """Give the serde that a `serde=…, type_hint=…` pair of arguments means.

    A serde other than `DefaultSerde` is taken as it is. Otherwise the hint decides, and without one the type that
    the `DefaultSerde` carries.

    Raises:
        UsageError: The type has no JSON format.
    """
    if type(serde) is not DefaultSerde:
        return serde
    default = cast("DefaultSerde[T]", serde)
    return serde_for(type_hint if type_hint is not None else default.type_hint)


def return_serde(function: Callable[..., Any]) -> Serde[Any]:
    """Give the serde of what `function` returns, by its annotation; plain JSON if it has none.

    Raises:
        UnresolvedAnnotationError: The annotation is text that names something unknown.
        UsageError: The type has no JSON format.
    """
    try:
        hint: Any = function.__annotations__.get("return")
    except (AttributeError, NameError):
        hint = raw_annotations(function).get("return")
    if hint is None:
        return _PLAIN
    if type(hint) is str:
        text = _Chosen.by_return_text.get(id(function.__code__)) if type(function) is FunctionType else None
        if text is not None and text[0] is function.__code__ and text[1] is function.__globals__ and text[2] == hint:
            return text[3]
        return _serde_of_return(function, hint)
    known = _Chosen.by_return_hint.get(hint)
    if known is not None and (not known[1] or _same(known[0], hint)):
        return known[2]
    return _serde_of_return(function, hint)


def _serde_of_return(function: Callable[..., Any], annotation: Any) -> Serde[Any]:
    hint = evaluate_annotation(annotation, function)
    awaited = typing.get_origin(hint) in {collections.abc.Awaitable, collections.abc.Coroutine}
    serde = serde_for(typing.get_args(hint)[-1] if awaited else hint)
    if not isinstance(annotation, str):
        _remember(_Chosen.by_return_hint, annotation, serde)
    elif type(function) is FunctionType and _is_global(annotation, function.__globals__):
        # The text means the same for every function that this `def` statement makes.
        texts = _Chosen.by_return_text
        if len(texts) >= _Chosen.LIMIT:
            texts.clear()
        texts[id(function.__code__)] = (function.__code__, function.__globals__, annotation, serde)
    return serde


def _is_global(annotation: str, names: Mapping[str, Any]) -> bool:
    """Tell whether an annotation's text names only what its module and the builtins have."""
    used = {node.id for node in ast.walk(ast.parse(annotation, mode="eval")) if isinstance(node, ast.Name)}
    return all(name in names or hasattr(builtins, name) for name in used)
