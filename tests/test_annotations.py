"""Annotations become types, wherever those were defined."""

from __future__ import annotations

import functools
from typing import Any

import pydantic
import pytest

from durably.annotations import (
    UnresolvedAnnotationError,
    evaluate_annotation,
    plain_function,
    raw_annotations,
    visible_names,
)
from durably.errors import UsageError
from durably.serde import (
    Serde,
    return_serde,
)


def test_annotations_are_found_where_the_function_sees_them() -> None:
    """A model that is defined inside a function is found for a step defined beside it, each time anew."""

    def handler(limit: int) -> tuple[Serde[Any], type[Any]]:
        class Local(pydantic.BaseModel):
            n: int = pydantic.Field(le=limit)

        def step() -> Local: ...

        return return_serde(step), Local

    for limit in (1, 2):
        serde, local = handler(limit)
        assert isinstance(serde.deserialize(b'{"n":1}'), local)


def test_an_annotation_that_names_nothing_is_refused() -> None:
    """A step whose return annotation cannot be resolved is refused: its value would come back as another type."""

    def step() -> Missing: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(UsageError, match="'Missing'"):
        return_serde(step)


class _Local:
    pass


def _quoted(one: _Local, two: list[_Local], three: dict[str, int | None]) -> None: ...


def test_each_annotation_is_evaluated_on_its_own() -> None:
    """One unknown name does not hide the others."""
    raw = raw_annotations(_quoted)

    assert evaluate_annotation(raw["one"], _quoted) is _Local
    assert evaluate_annotation(raw["two"], _quoted) == list[_Local]
    assert evaluate_annotation("dict[str, _Local]", _quoted) == dict[str, _Local]
    for text in ("Unknown", "a b", "_Local.inner", "3 +"):
        with pytest.raises(UnresolvedAnnotationError, match="cannot be evaluated"):
            evaluate_annotation(text, _quoted)


def test_functions_are_found_below_what_wraps_them() -> None:
    """Partials, bound methods, wrappers and callable objects lead to the function that has the annotations."""

    class Callable_:
        def __call__(self) -> int: ...  # type: ignore[empty-body]

        def method(self) -> int: ...  # type: ignore[empty-body]

    @functools.wraps(_quoted)
    def wrapper(*args: Any) -> Any: ...

    assert plain_function(functools.partial(functools.partial(_quoted))) is _quoted
    assert plain_function(wrapper) is _quoted
    assert plain_function(Callable_()) is Callable_.__call__
    assert plain_function(Callable_().method) is Callable_.method
    assert plain_function(len) is len
    assert raw_annotations(len) == {}


def test_names_of_enclosing_functions_are_visible_while_they_run() -> None:
    """Closure variables and the locals of the functions around are seen, the innermost first."""

    def outer() -> dict[str, Any]:
        seen = 1

        def middle() -> dict[str, Any]:
            shadowed = 2

            def inner() -> int:
                return seen

            found = visible_names(inner)
            return {**found, "expected": shadowed}

        return middle()

    names = outer()
    assert (names["seen"], names["shadowed"], names["expected"]) == (1, 2, 2)
