"""What the parameters of an endpoint or of a dependency are.

Owns the reading of one signature: annotations are evaluated, `Annotated` and type aliases are taken apart, and each
parameter gets its role. How the pieces are put together stands in `dependencies`.
"""

from __future__ import annotations

import enum
import functools
import inspect
import types
import typing
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter, Signature
from typing import Any, cast

from fastapi import params
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic.fields import FieldInfo
from starlette.background import BackgroundTasks
from starlette.requests import HTTPConnection
from starlette.responses import Response

from durably.annotations import (
    UnresolvedAnnotationError,
    evaluate_annotation,
    plain_function,
    visible_names,
)
from durably.authoring.contexts import Context
from durably.authoring.sync_contexts import SyncContext
from durably.errors import RegistrationError
from durably_fastapi.markers import EdgeMark, PerAttemptMark, StepMark

__all__ = [
    "CallKind",
    "Declared",
    "Mark",
    "Role",
    "alternatives",
    "call_kind",
    "depends_of",
    "describe_call",
    "is_security_scheme",
    "metadata_of",
    "plain_type",
    "read_parameters",
    "read_result_type",
]

Mark = EdgeMark | PerAttemptMark | StepMark

_OF_THE_CONNECTION: tuple[type[Any], ...] = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)


class Role(enum.Enum):
    """What fills a parameter.

    REQUEST: a value of the HTTP call (path, query, header, cookie, body, form, file). DEPENDENCY: what `Depends`
    names. CONTEXT: the attempt's context. CONNECTION: an object that exists only while the HTTP call lasts.
    """

    REQUEST = "request parameter"
    DEPENDENCY = "dependency"
    CONTEXT = "context"
    CONNECTION = "connection"


class CallKind(enum.Enum):
    """How a dependency is called."""

    PLAIN = "plain"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"

    @property
    def is_async(self) -> bool:
        """Whether it needs an event loop."""
        return self in (CallKind.COROUTINE, CallKind.ASYNC_GENERATOR)


@dataclass(frozen=True, slots=True)
class Declared:
    """One parameter.

    Attributes:
        parameter: As the signature has it, with the evaluated annotation.
        role: What fills it.
        type: Its type without `Annotated`; `Signature.empty` when it has none.
        depends: With the dependency filled in, for DEPENDENCY.
        mark: Where it shall run, if that is said.
        field: How it is read from the HTTP call, if that is said.
        owner: The callable it belongs to, as messages call it.
    """

    parameter: Parameter
    role: Role
    type: Any
    depends: params.Depends | None
    mark: Mark | None
    field: FieldInfo | None
    owner: str

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parameter.name

    @property
    def call(self) -> Callable[..., Any]:
        """The dependency's callable."""
        assert self.depends is not None
        assert self.depends.dependency is not None
        return self.depends.dependency

    @property
    def has_default(self) -> bool:
        """Whether there is a value for it when nobody gives one."""
        if self.field is None:
            return self.parameter.default is not Parameter.empty
        has_plain = self.parameter.default is not Parameter.empty and self.parameter.default is not self.field
        return has_plain or not self.field.is_required()

    def default_value(self) -> Any:
        """Give the value it has when nobody gives one; only where `has_default`."""
        default = self.parameter.default
        if self.field is not None and (default is self.field or default is Parameter.empty):
            return self.field.get_default(call_default_factory=True)
        return default

    def __str__(self) -> str:
        return f"parameter `{self.name}` of {self.owner}"


def read_parameters(call: Callable[..., Any], only: Container[str] | None = None) -> tuple[Declared, ...]:
    """Read the signature of an endpoint or a dependency.

    Args:
        call: The endpoint or the dependency.
        only: Names of the parameters to look at; None looks at all.

    Raises:
        RegistrationError: It has none, or an annotation cannot be evaluated; names the parameter.
    """
    owner = describe_call(call)
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError, NameError) as error:
        raise RegistrationError(f"{owner} has no signature that can be read: {error}.") from error
    for parameter in parameters:
        if parameter.kind is Parameter.POSITIONAL_ONLY and (only is None or parameter.name in only):
            raise RegistrationError(
                f"{owner}: parameter `{parameter.name}` is positional-only, but all are given by name.",
                hint="Remove the `/` from its signature.",
            )
    scope = _annotated_function(call)
    names = visible_names(scope)
    return tuple(
        _declared(parameter, scope, names, owner)
        for parameter in parameters
        if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        and (only is None or parameter.name in only)
    )


def read_result_type(call: Callable[..., Any]) -> Any:
    """Give the evaluated type of the result; `Signature.empty` when there is none, or nobody can tell."""
    if inspect.isclass(call):
        return call
    scope = _annotated_function(call)
    raw: Any = getattr(plain_function(scope), "__annotations__", {}).get("return", Signature.empty)
    if raw is Signature.empty:
        return raw
    return evaluate_annotation(raw, scope, visible_names(scope))


def _annotated_function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function whose annotations and names count: a class's `__init__`, else what `call` stands for."""
    while isinstance(call, functools.partial):
        call = cast("Callable[..., Any]", call.func)  # pyright: ignore[reportUnknownMemberType]
    if inspect.isclass(call):
        init: Any = call.__init__
        return cast("Callable[..., Any]", init) if inspect.isfunction(init) else call
    return call


def _declared(parameter: Parameter, scope: Callable[..., Any], names: Mapping[str, Any], owner: str) -> Declared:
    annotation = parameter.annotation
    if annotation is not Parameter.empty:
        try:
            annotation = _without_alias(evaluate_annotation(annotation, scope, names))
        except UnresolvedAnnotationError as error:
            known = _context_named(annotation)
            if known is None:
                raise RegistrationError(
                    f"{owner}: parameter `{parameter.name}`: {error.message}", hint=error.hint
                ) from error
            annotation = known
    plain = plain_type(annotation)
    found = Declared(
        parameter=parameter.replace(annotation=annotation),
        role=Role.REQUEST,
        type=plain,
        depends=None,
        mark=_mark_of(annotation),
        field=_field_of(parameter.default, annotation),
        owner=owner,
    )
    depends = depends_of(parameter.default, annotation)
    if depends is not None:
        if depends.dependency is None:
            if not callable(plain) or plain is Parameter.empty:
                raise RegistrationError(
                    f"{found} says Depends() without naming a dependency.", hint="Write Depends(function)."
                )
            depends = replace(depends, dependency=plain)
        return replace(found, role=Role.DEPENDENCY, depends=depends)
    if _is_context(plain):
        return replace(found, role=Role.CONTEXT)
    if isinstance(plain, type) and issubclass(plain, _OF_THE_CONNECTION):
        return replace(found, role=Role.CONNECTION)
    return found


def depends_of(default: Any, annotation: Any) -> params.Depends | None:
    """Give the `Depends` or `Security` of a parameter, from its default or from `Annotated`."""
    if isinstance(default, params.Depends):
        return default
    found = [each for each in metadata_of(annotation) if isinstance(each, params.Depends)]
    return found[-1] if found else None


def metadata_of(annotation: Any) -> tuple[Any, ...]:
    """Give what stands beside the type in `Annotated`."""
    annotation = _without_alias(annotation)
    return tuple(typing.get_args(annotation)[1:]) if typing.get_origin(annotation) is typing.Annotated else ()


def plain_type(annotation: Any) -> Any:
    """Take off `Annotated` and type aliases."""
    annotation = _without_alias(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return plain_type(typing.get_args(annotation)[0])
    return annotation


def alternatives(annotation: Any) -> list[Any]:
    """Give the members of a union, each without `Annotated`; a single type is its own only member."""
    plain = plain_type(annotation)
    if typing.get_origin(plain) in (typing.Union, types.UnionType):
        return [each for member in typing.get_args(plain) for each in alternatives(member)]
    return [plain]


def _without_alias(annotation: Any) -> Any:
    """Give what a `type X = …` alias stands for."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation


def _mark_of(annotation: Any) -> Mark | None:
    marks: list[Mark] = [each for each in metadata_of(annotation) if isinstance(each, Mark)]
    return marks[-1] if marks else None


def _field_of(default: Any, annotation: Any) -> FieldInfo | None:
    if isinstance(default, FieldInfo):
        return default
    found = [each for each in metadata_of(annotation) if isinstance(each, FieldInfo)]
    return found[-1] if found else None


def _is_context(annotation: Any) -> bool:
    return any(isinstance(each, type) and issubclass(each, (Context, SyncContext)) for each in alternatives(annotation))


def _context_named(annotation: Any) -> type[Any] | None:
    """Find a context that is imported for type checkers only, by its name."""
    if not isinstance(annotation, str):
        return None
    name = annotation.rpartition(".")[2]
    pending: list[type[Any]] = [Context, SyncContext]
    while pending:
        each = pending.pop()
        if each.__name__ == name:
            return each
        pending.extend(each.__subclasses__())
    return None


def is_security_scheme(call: Callable[..., Any]) -> bool:
    """Tell whether a dependency is one of FastAPI's security schemes: its result is a credential."""
    return isinstance(call, SecurityBase)


def call_kind(call: Callable[..., Any]) -> CallKind:
    """Tell how a dependency is called, looking through partials, decorators and callable objects."""
    while isinstance(call, functools.partial):
        call = cast("Callable[..., Any]", call.func)  # pyright: ignore[reportUnknownMemberType]
    if inspect.isclass(call):
        return CallKind.PLAIN
    # A decorator that keeps `__wrapped__` may have made another kind of the function: either word counts.
    seen: list[Any] = [call, plain_function(call)]
    if not inspect.isroutine(call):
        seen.append(type(call).__call__)
    if any(inspect.isasyncgenfunction(each) for each in seen):
        return CallKind.ASYNC_GENERATOR
    if any(inspect.isgeneratorfunction(each) for each in seen):
        return CallKind.GENERATOR
    return CallKind.COROUTINE if any(inspect.iscoroutinefunction(each) for each in seen) else CallKind.PLAIN


def describe_call(call: Callable[..., Any]) -> str:
    """Name a callable in messages, as `shop.orders.place`."""
    while isinstance(call, functools.partial):
        call = cast("Callable[..., Any]", call.func)  # pyright: ignore[reportUnknownMemberType]
    target: Any = call if hasattr(call, "__qualname__") else type(call)
    return f"{target.__module__}.{target.__qualname__}"
