"""`typing.TypedDict` on Python 3.11, which pydantic accepts only in the form of `typing_extensions`.

Owns the translation of types that hold one. From Python 3.12 on there is nothing to translate. The values are
plain dicts either way. Fields of dataclasses and models are out of its reach; pydantic's own message names the cure.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from typing import Any, cast

import typing_extensions

__all__ = ["with_known_typed_dicts"]


def with_known_typed_dicts(hint: Any) -> Any:
    """Give a type that means the same as `hint` and that pydantic accepts."""
    return hint if sys.version_info >= (3, 12) else _translated(hint)


def _translated(hint: Any) -> Any:
    if type(hint).__module__ == "typing" and typing_extensions.is_typeddict(hint):
        return _translated_typed_dict(hint)
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if not arguments or origin is typing.Literal:
        return hint
    if origin is typing.Annotated:
        inner, *metadata = arguments
        translated = _translated(inner)
        return hint if translated is inner else cast("Any", typing.Annotated)[(translated, *metadata)]
    replaced = tuple(_translated(each) for each in arguments)
    if all(new is old for new, old in zip(replaced, arguments, strict=True)):
        return hint
    if origin is types.UnionType:
        return cast("Any", typing.Union)[replaced]
    return hint.copy_with(replaced) if hasattr(hint, "copy_with") else origin[replaced]


@functools.cache
def _translated_typed_dict(cls: Any) -> Any:
    # With postponed annotations `__required_keys__` has seen only `total=`, so the markers are read here.
    fields: dict[str, Any] = {}
    for name, annotation in typing.get_type_hints(cls, include_extras=True).items():
        marker = typing.get_origin(annotation)
        is_marked = marker in {typing.Required, typing.NotRequired}
        translated = _translated(typing.get_args(annotation)[0] if is_marked else annotation)
        is_required = marker is typing.Required if is_marked else name in cls.__required_keys__
        fields[name] = translated if is_required else typing_extensions.NotRequired[translated]
    made: Any = cast("Any", typing_extensions).TypedDict(cls.__name__, fields)
    made.__module__, made.__qualname__, made.__doc__ = cls.__module__, cls.__qualname__, cls.__doc__
    return made
