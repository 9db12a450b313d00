"""Walks restate-sdk's public API and compares it with ours, parameter by parameter."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

MODULES = (
    "",
    ".asyncio",
    ".client",
    ".client_types",
    ".connection",
    ".context",
    ".context_managers",
    ".endpoint",
    ".entry_codec",
    ".exceptions",
    ".extensions",
    ".logging",
    ".object",
    ".retry_policy",
    ".serde",
    ".service",
    ".types",
    ".workflow",
)
"""The peer's modules that hold authoring API; its server, Lambda adapter and Rust binding are not among them."""


def public_names(module: Any) -> list[str]:
    """Name what a module offers: its `__all__`, or what it defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
    )


def members(cls: type[Any]) -> Iterator[str]:
    """Name a class's public methods and properties, and how it is constructed."""
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("restate"):
            continue
        for name, value in vars(base).items():
            if (name == "__init__" or not name.startswith("_")) and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                yield name


def parameters(function: Any) -> list[inspect.Parameter]:
    """List a callable's parameters without `self`."""
    found = inspect.signature(function).parameters.values()
    return [each for each in found if each.name != "self"]


def defaults_agree(theirs: Any, ours: Any) -> bool:
    """Tell whether two defaults mean the same; objects are compared by the name of their class."""
    if theirs is inspect.Parameter.empty:
        return True  # a default of ours only admits more calls
    if ours is inspect.Parameter.empty:
        return False
    return bool(theirs == ours) or (
        type(theirs).__module__ != "builtins" and type(theirs).__name__ == type(ours).__name__
    )


def signature_differences(theirs: Any, ours: Any) -> list[str]:
    """Say where a call that fits `theirs` would not fit `ours`, or would mean something else."""
    expected, found = parameters(theirs), parameters(ours)
    variadic = {each.kind for each in found}
    by_name = {each.name: each for each in found}
    problems: list[str] = []
    positions = [each.name for each in found if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    for index, parameter in enumerate(expected):
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            if parameter.kind not in variadic:
                problems.append(f"no {parameter}")
            continue
        match = by_name.get(parameter.name)
        if match is None:
            problems.append(f"no parameter {parameter.name}")
            continue
        if not defaults_agree(parameter.default, match.default):
            problems.append(f"default of {parameter.name} is {match.default!r}, not {parameter.default!r}")
        by_position = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
        if by_position and (index >= len(positions) or positions[index] != parameter.name):
            problems.append(f"{parameter.name} is not parameter {index}")
    required = [
        each.name
        for each in found
        if each.default is inspect.Parameter.empty
        and each.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    problems.extend(f"further required parameter {each}" for each in required if each not in {p.name for p in expected})
    return problems


def differences() -> Iterator[tuple[str, str]]:
    """Give every place where the peer's public API has no equal here: its name and what differs."""
    for suffix in MODULES:
        theirs = importlib.import_module("restate" + suffix)
        label = suffix.removeprefix(".") or "restate"
        try:
            ours = importlib.import_module("durably" + suffix)
        except ImportError:
            yield label, "no such module"
            continue
        for name in public_names(theirs):
            if not hasattr(ours, name):
                yield f"{label}.{name}", "missing"
                continue
            yield from _compare(f"{label}.{name}", getattr(theirs, name), getattr(ours, name))


def _compare(label: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    if inspect.isfunction(theirs):
        if not callable(ours):
            yield label, "not callable"
            return
        for problem in signature_differences(theirs, ours):
            yield label, problem
    elif inspect.isclass(theirs):
        for member in sorted(set(members(theirs))):
            their_member, our_member = getattr(theirs, member), getattr(ours, member, None)
            if our_member is None and isinstance(their_member, property) and _is_annotated(ours, member):
                continue
            if our_member is None:
                yield f"{label}.{member}", "missing"
            elif isinstance(their_member, property):
                continue
            elif inspect.isfunction(their_member) and callable(our_member):
                for problem in signature_differences(their_member, our_member):
                    yield f"{label}.{member}", problem


def _is_annotated(cls: type[Any], name: str) -> bool:
    return any(name in vars(base).get("__annotations__", {}) for base in cls.__mro__)
