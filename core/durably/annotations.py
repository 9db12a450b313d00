"""Turning a function's annotations into types, wherever the types were defined.

Owns the evaluation of annotations that are text (`from __future__ import annotations`, quoted names), for
handlers, steps and adapters. A name is looked up as Python itself would have: in the function's closure, in the
functions around it while they still run, in the module. Knows nothing of services or of JSON.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from types import CodeType, FrameType, SimpleNamespace
from typing import Any, cast

from durably.errors import UsageError

__all__ = [
    "UnresolvedAnnotationError",
    "evaluate_annotation",
    "plain_function",
    "raw_annotations",
    "visible_names",
]


class UnresolvedAnnotationError(UsageError, NameError):
    """An annotation names something that cannot be found.

    Attributes:
        annotation: The annotation as it was written.
    """

    def __init__(self, annotation: str, reason: str) -> None:
        """Keep the text of the annotation and why it has no type."""
        super().__init__(
            f"The annotation {annotation!r} cannot be evaluated: {reason}.",
            hint="Import the name at run time (not only under TYPE_CHECKING), or define it before its use.",
        )
        self.annotation = annotation


def plain_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find the function that `function` stands for: below partials, methods, wrappers and callable objects."""
    seen: Any = function
    while inspect.ismethod(seen) or not hasattr(seen, "__code__") or hasattr(seen, "__wrapped__"):
        if isinstance(seen, functools.partial):
            seen = seen.func  # pyright: ignore[reportUnknownMemberType]
        elif inspect.ismethod(seen):
            seen = seen.__func__
        elif hasattr(seen, "__wrapped__"):
            seen = seen.__wrapped__
        elif inspect.isroutine(seen) or inspect.isclass(seen) or not inspect.isfunction(type(seen).__call__):
            break
        else:
            seen = type(seen).__call__
    return cast("Callable[..., Any]", seen)


def raw_annotations(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Give the annotations of `function` as they stand: types, or text that is not evaluated yet."""
    target = plain_function(function)
    try:
        found: Any = getattr(target, "__annotations__", None)
    except NameError:  # Python 3.14 evaluates them here
        lazily: Any = importlib.import_module("annotationlib")
        found = lazily.get_annotations(target, format=lazily.Format.STRING)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def visible_names(function: Callable[..., Any]) -> dict[str, Any]:
    """Collect the names that a function can see besides its module's: closure and enclosing functions.

    Enclosing functions can be read only while they run: call this before they return, as a decorator does.
    """
    target = plain_function(function)
    names: dict[str, Any] = {}
    code: CodeType | None = getattr(target, "__code__", None)
    if code is None:
        return names
    around = _enclosing_scopes(getattr(target, "__qualname__", ""))
    if around:
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_qualname in around and frame.f_code.co_filename == code.co_filename:
                names = {**frame.f_locals, **names}
            frame = frame.f_back
    for name, cell in zip(code.co_freevars, getattr(target, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # assigned only later
            continue
    return names


def _enclosing_scopes(qualname: str) -> frozenset[str]:
    """Name every scope around a qualified name that is inside a function."""
    scopes: list[str] = []
    while ".<locals>." in qualname:
        inner, _, _ = qualname.rpartition(".")
        qualname = inner.removesuffix(".<locals>")
        scopes.append(qualname)
    return frozenset(scopes)


def evaluate_annotation(annotation: Any, function: Callable[..., Any], names: Mapping[str, Any] | None = None) -> Any:
    """Give the type that an annotation of `function` means; text inside generics is evaluated too.

    Args:
        annotation: As `raw_annotations` gives it.
        function: Whose module the names belong to.
        names: What `visible_names` found, or None to look now.

    Raises:
        UnresolvedAnnotationError: A name in it cannot be found, or it is no expression.
    """
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation
    target = plain_function(function)
    module_names: dict[str, Any] = getattr(target, "__globals__", {})
    local_names = dict(visible_names(function) if names is None else names)
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, module_names, local_names, include_extras=True)["it"]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        text = annotation if isinstance(annotation, str) else repr(annotation)
        raise UnresolvedAnnotationError(text, str(error)) from error
