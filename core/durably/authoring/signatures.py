"""What a handler's signature says: its context, its input, its output; and refusing what cannot work.

Owns the rules:

* The first parameter is the context. Its annotation must be a context that this kind of handler gets; without
  an annotation (or with Any) the kind decides.
* The second parameter, if there is one, is the input.
* Any further parameter needs a default, or a binder that supplies it.
* `async def` goes with the asynchronous contexts, `def` with the `Sync…` ones. Generators go with none.

Every refusal is a `RegistrationError` that names the handler and the parameter.
"""

from __future__ import annotations

import collections.abc
import enum
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from durably.annotations import (
    UnresolvedAnnotationError,
    evaluate_annotation,
    plain_function,
    raw_annotations,
    visible_names,
)
from durably.errors import RegistrationError

if TYPE_CHECKING:
    from durably.authoring.step_managers import StepManagerFactory

__all__ = [
    "Binder",
    "BoundParameter",
    "HandlerKind",
    "HandlerSignature",
    "ServiceKind",
    "StepBinder",
    "add_binder",
    "binder_step_managers",
    "read_signature",
    "remove_binder",
]


class ServiceKind(enum.Enum):
    """The three kinds of service."""

    SERVICE = "SERVICE"
    VIRTUAL_OBJECT = "VIRTUAL_OBJECT"
    WORKFLOW = "WORKFLOW"


class HandlerKind(enum.Enum):
    """How invocations of a handler may overlap.

    PLAIN: a service's, without restriction. EXCLUSIVE: one at a time for each key, may write state.
    SHARED: beside others, may read state. WORKFLOW: runs once for each key.
    """

    PLAIN = "PLAIN"
    EXCLUSIVE = "EXCLUSIVE"
    SHARED = "SHARED"
    WORKFLOW = "WORKFLOW"


@dataclass(frozen=True, slots=True)
class BoundParameter:
    """A parameter beyond context and input that a binder supplies on each attempt."""

    parameter: Parameter
    annotation: Any
    binder: Binder


class Binder(Protocol):
    """Supplies further parameters of handlers; how an adapter brings its framework's dependencies."""

    def claims(self, parameter: Parameter, annotation: Any) -> bool:
        """Say whether this binder supplies `parameter`, whose annotation is evaluated."""
        ...

    def bind(
        self, function: Callable[..., Any], signature: HandlerSignature, claimed: tuple[BoundParameter, ...]
    ) -> Callable[..., Any]:
        """Give what is called in place of `function`, with the context and, if there is one, the input.

        Asynchronous exactly if `function` is.
        """
        ...


@runtime_checkable
class StepBinder(Binder, Protocol):
    """A binder that has resources of single steps too. It is asked for every handler, claimed parameters or none."""

    def step_managers(self, function: Callable[..., Any], signature: HandlerSignature) -> Sequence[StepManagerFactory]:
        """Give what makes the managers of the handler's steps; empty where there is nothing to open."""
        ...


_binders: list[Binder] = []


def add_binder(binder: Binder) -> None:
    """Let `binder` supply parameters of handlers that are registered from now on."""
    if binder not in _binders:
        _binders.append(binder)


def remove_binder(binder: Binder) -> None:
    """Undo `add_binder`; handlers registered in between keep what they have."""
    if binder in _binders:
        _binders.remove(binder)


def binder_step_managers(function: Callable[..., Any], signature: HandlerSignature) -> tuple[StepManagerFactory, ...]:
    """Give the step managers that binders have for a handler."""
    return tuple(
        factory
        for binder in _binders
        if isinstance(binder, StepBinder)
        for factory in binder.step_managers(function, signature)
    )


@dataclass(frozen=True, slots=True)
class HandlerSignature:
    """A signature that can work.

    Attributes:
        is_async: Whether the handler is awaited.
        context_class: Of which class the handler's context is.
        input: The input parameter, or None: the handler takes none.
        input_type: The input's type; `Signature.empty` when it is not annotated.
        output_type: The result's type; `Signature.empty` when it is not annotated, None for none.
        bound: Parameters that binders supply.
        names: Names that types in it may use besides those of their modules.
    """

    is_async: bool
    context_class: type[Any]
    input: Parameter | None
    input_type: Any
    output_type: Any
    bound: tuple[BoundParameter, ...]
    names: Mapping[str, Any]


def read_signature(
    function: Callable[..., Any], service_kind: ServiceKind, kind: HandlerKind, where: str
) -> HandlerSignature:
    """Read and check a handler's signature.

    Args:
        function: What was decorated.
        service_kind: Of its service.
        kind: Of the handler.
        where: How messages call the handler, as `Handler Greeter/greet`.

    Raises:
        RegistrationError: It cannot work; the text names the parameter and what to write instead.
    """
    _refuse_generators(function, where)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError, NameError) as error:
        raise RegistrationError(f"{where}: {function!r} has no signature that can be read: {error}.") from error
    annotations = _Annotations(function, where)
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise RegistrationError(
            f"{where} takes no context.",
            hint="Make the context its first parameter. A decorator between must use functools.wraps.",
        )
    context, *others = parameters
    asked = annotations.of_context(context)
    output_type = annotations.of_return()
    is_async, output_type = _is_async(function, asked, output_type)
    context_class = _context_class(asked, context.name, is_async, service_kind, kind, where)
    bound = annotations.claimed(others)
    supplied = {each.parameter.name for each in bound}
    rest = [each for each in others if each.name not in supplied]
    input_parameter = rest[0] if rest and rest[0].kind in _POSITIONAL else None
    _refuse_extra(rest[1:] if input_parameter is not None else rest, where)
    return HandlerSignature(
        is_async=is_async,
        context_class=context_class,
        input=input_parameter,
        input_type=Signature.empty if input_parameter is None else annotations.of(input_parameter),
        output_type=output_type,
        bound=bound,
        names=annotations.names,
    )


_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def _refuse_generators(function: Any, where: str) -> None:
    if not callable(function):
        raise RegistrationError(f"{where}: {function!r} is not a function.")
    if inspect.isclass(function):
        raise RegistrationError(f"{where}: the class {function.__name__} cannot be a handler.", hint="Use a function.")
    target = plain_function(function)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise RegistrationError(
            f"{where} is a generator function and cannot be a handler.", hint="Return the result instead of yielding."
        )


def _refuse_extra(extra: list[Parameter], where: str) -> None:
    for parameter in extra:
        if parameter.kind is Parameter.VAR_POSITIONAL:
            raise RegistrationError(
                f"{where}: parameter `*{parameter.name}` cannot be filled.",
                hint="A handler takes the context and at most one input; put several values into one model.",
            )
        if parameter.kind is not Parameter.VAR_KEYWORD and parameter.default is Parameter.empty:
            raise RegistrationError(
                f"{where}: parameter `{parameter.name}` has no default and nothing supplies it.",
                hint="A handler takes the context and at most one input; put several values into one model.",
            )


class _Annotations:
    """The annotations of one function, evaluated one by one so that a refusal can name the parameter."""

    def __init__(self, function: Callable[..., Any], where: str) -> None:
        self._function = function
        self._where = where
        self._raw = raw_annotations(function)
        self.names = visible_names(function)

    def of(self, parameter: Parameter) -> Any:
        return self._evaluate(parameter.name, f"parameter `{parameter.name}`")

    def of_return(self) -> Any:
        return self._evaluate("return", "the result")

    def of_context(self, parameter: Parameter) -> Any:
        """Evaluate the context's annotation; a context that is imported for checkers only is known by its name."""
        raw = self._raw.get(parameter.name)
        try:
            return self.of(parameter)
        except RegistrationError:
            known = _context_named(raw.rpartition(".")[2]) if isinstance(raw, str) else None
            if known is None:
                raise
            return known

    def claimed(self, parameters: list[Parameter]) -> tuple[BoundParameter, ...]:
        found: list[BoundParameter] = []
        for parameter in parameters if _binders else ():
            annotation = self.of(parameter)
            binder = next((each for each in _binders if each.claims(parameter, annotation)), None)
            if binder is not None:
                found.append(BoundParameter(parameter, annotation, binder))
        return tuple(found)

    def _evaluate(self, name: str, what: str) -> Any:
        if name not in self._raw:
            return Signature.empty
        try:
            return evaluate_annotation(self._raw[name], self._function, self.names)
        except UnresolvedAnnotationError as error:
            raise RegistrationError(f"{self._where}: {what}: {error.message}", hint=error.hint) from error


def _is_async(function: Callable[..., Any], asked: Any, output_type: Any) -> tuple[bool, Any]:
    """Tell whether the handler is awaited, and what the awaited result is."""
    if typing.get_origin(output_type) in (collections.abc.Awaitable, collections.abc.Coroutine):
        return True, typing.get_args(output_type)[-1]
    called: Any = function
    while isinstance(called, functools.partial):
        called = called.func  # pyright: ignore[reportUnknownMemberType]
    if inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__):
        return True, output_type
    # A plain wrapper around an `async def` gives a coroutine too, unless it says that it is synchronous.
    return inspect.iscoroutinefunction(plain_function(function)) and asked not in _loaded_sync_contexts(), output_type


@functools.cache
def _async_contexts() -> tuple[type[Any], ...]:
    from durably.authoring import contexts

    return (
        contexts.Context,
        contexts.ObjectContext,
        contexts.ObjectSharedContext,
        contexts.WorkflowContext,
        contexts.WorkflowSharedContext,
    )


@functools.cache
def _sync_contexts() -> tuple[type[Any], ...]:
    from durably.authoring import sync_contexts

    return (
        sync_contexts.SyncContext,
        sync_contexts.SyncObjectContext,
        sync_contexts.SyncObjectSharedContext,
        sync_contexts.SyncWorkflowContext,
        sync_contexts.SyncWorkflowSharedContext,
    )


def _loaded_sync_contexts() -> tuple[type[Any], ...]:
    """Give the contexts of `def` handlers if anything imported them: else no annotation can be one of them."""
    return _sync_contexts() if "durably.authoring.sync_contexts" in sys.modules else ()


def _context_named(name: str) -> type[Any] | None:
    contexts = _sync_contexts() if name.startswith("Sync") else _async_contexts()
    return next((each for each in contexts if each.__name__ == name), None)


# Positions in the two tuples above: what a kind of handler gets, and which annotations that satisfies.
_PLAIN, _OBJECT, _OBJECT_SHARED, _WORKFLOW, _WORKFLOW_SHARED = range(5)
_GIVEN: dict[tuple[ServiceKind, HandlerKind], tuple[int, tuple[int, ...]]] = {
    (ServiceKind.SERVICE, HandlerKind.PLAIN): (_PLAIN, (_PLAIN,)),
    (ServiceKind.VIRTUAL_OBJECT, HandlerKind.EXCLUSIVE): (_OBJECT, (_PLAIN, _OBJECT, _OBJECT_SHARED)),
    (ServiceKind.VIRTUAL_OBJECT, HandlerKind.SHARED): (_OBJECT_SHARED, (_PLAIN, _OBJECT_SHARED)),
    (ServiceKind.WORKFLOW, HandlerKind.WORKFLOW): (
        _WORKFLOW,
        (_PLAIN, _OBJECT, _OBJECT_SHARED, _WORKFLOW, _WORKFLOW_SHARED),
    ),
    (ServiceKind.WORKFLOW, HandlerKind.SHARED): (_WORKFLOW_SHARED, (_PLAIN, _OBJECT_SHARED, _WORKFLOW_SHARED)),
}


def _context_class(
    asked: Any, name: str, is_async: bool, service_kind: ServiceKind, kind: HandlerKind, where: str
) -> type[Any]:
    """Choose the context's class; refuse an annotation that it does not satisfy."""
    if is_async:
        ours, theirs = _async_contexts(), _loaded_sync_contexts()
    else:
        ours, theirs = _sync_contexts(), _async_contexts()
    position, satisfied = _GIVEN[(service_kind, kind)]
    given = ours[position]
    for each in _alternatives(asked):
        if each in theirs:
            raise RegistrationError(
                f"{where}: parameter `{name}` is a {each.__name__}, which "
                + ("an `async def` handler cannot use." if is_async else "a `def` handler cannot use."),
                hint=f"Annotate it as {given.__name__}, or write the handler as "
                + ("`def`." if is_async else "`async def`."),
            )
    asked_for = [each for each in _alternatives(asked) if each is not Any and each is not Signature.empty]
    if not asked_for or any(each in ours and ours.index(each) in satisfied for each in asked_for):
        return given
    if any(getattr(each, "_is_protocol", False) or isinstance(each, typing.TypeVar) for each in asked_for):
        return given
    shown = asked.__name__ if isinstance(asked, type) else str(asked)
    if any(each in ours for each in asked_for):
        called = f"{kind.value.lower()} handler of a {service_kind.value.lower().replace('_', ' ')}"
        raise RegistrationError(
            f"{where}: parameter `{name}` is a {shown}, which a {called} does not get.",
            hint=f"Annotate it as {given.__name__}.",
        )
    raise RegistrationError(
        f"{where}: the first parameter is the context, but `{name}` is annotated as {shown}.",
        hint=f"Put a parameter `ctx: {given.__name__}` before it.",
    )


def _alternatives(annotation: Any) -> list[Any]:
    """Take `Annotated` and unions apart."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin is typing.Union or origin is types.UnionType:
        return [each for member in typing.get_args(annotation) for each in _alternatives(member)]
    return [annotation]
