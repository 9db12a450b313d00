"""Dividing an endpoint between the edge and its attempts.

Owns the rules for where a dependency runs:

1. `Step`: inside each `run`.
2. `PerAttempt`, or a context anywhere below it: on each attempt. Parts of it that read the HTTP call run at the edge.
3. `Edge`, `Security(...)`, or anything below it that reads the HTTP call itself (`Request`, `Response`, headers,
   cookies, a security scheme, …): once, at the edge, by FastAPI. Its result is carried as data.
4. Anything else: on each attempt.

Path, query, body and form parameters of what runs on attempts are read at the edge and carried too. All that is
carried has one name space, the names of the parameters.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from fastapi import params

from durably.errors import RegistrationError
from durably_fastapi.analysis import (
    CallKind,
    Declared,
    Role,
    call_kind,
    describe_call,
    is_security_scheme,
    read_parameters,
    read_result_type,
)
from durably_fastapi.markers import EdgeMark, PerAttemptMark, StepMark, instead_of

__all__ = [
    "Argument",
    "Division",
    "Named",
    "Node",
    "Source",
    "contexts_below",
    "divide",
    "divide_handler",
    "override_node",
    "step_node",
    "step_nodes_below",
]

_MAX_DEPTH = 64  # deeper nesting is taken for a dependency that depends on itself


class Source(enum.Enum):
    """Where the value of an argument comes from on an attempt."""

    CARRIED = "the payload"
    NODE = "a dependency"
    CONTEXT = "the attempt's context"
    STEP = "a dependency of each step"


@dataclass(frozen=True, slots=True)
class Named:
    """A value that is fixed at the edge and carried to the attempts under its name.

    Attributes:
        declared: The parameter that asks for it; with others of the same name it is shared.
        is_edge: It is the result of a dependency that runs at the edge.
        type: Of the value; `Parameter.empty` when nobody said.
    """

    declared: Declared
    is_edge: bool
    type: Any

    @property
    def name(self) -> str:
        """In the payload."""
        return self.declared.name

    @property
    def identity(self) -> Callable[[Any], Any] | None:
        """What of the value scopes an idempotency key, where that is said."""
        return self.declared.mark.identity if isinstance(self.declared.mark, EdgeMark) else None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A dependency that attempts, or steps, resolve.

    Attributes:
        call: As `Depends` names it; overrides are looked up by it.
        kind: How it is called.
        arguments: What it is called with.
        use_cache: Whether it is resolved once for all that ask for it.
    """

    call: Callable[..., Any]
    kind: CallKind
    arguments: tuple[Argument, ...]
    use_cache: bool

    @property
    def takes_context(self) -> bool:
        """Whether its callable itself asks for the context."""
        return any(each.source is Source.CONTEXT for each in self.arguments)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the endpoint, or of a dependency.

    Attributes:
        declared: The parameter.
        source: Where the value comes from.
        node: For NODE and STEP.
    """

    declared: Declared
    source: Source
    node: Node | None = None

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.declared.name


@dataclass(frozen=True, slots=True)
class Division:
    """What runs where.

    Attributes:
        carried: What is fixed at the edge, by name.
        arguments: What the function is called with on an attempt.
    """

    carried: dict[str, Named]
    arguments: tuple[Argument, ...]

    def contexts(self) -> tuple[Declared, ...]:
        """Give the parameters that ask for the context, at any depth; the function's own come first."""
        return tuple(contexts_below(self.arguments))


def step_nodes_below(arguments: Iterable[Argument]) -> Iterable[Node]:
    """Give the dependencies, at any depth, that each step opens anew."""
    for each in arguments:
        if each.node is not None:
            if each.source is Source.STEP:
                yield each.node
            else:
                yield from step_nodes_below(each.node.arguments)


def contexts_below(arguments: Iterable[Argument]) -> Iterable[Declared]:
    """Give the parameters that ask for the context, at any depth."""
    arguments = tuple(arguments)
    yield from (each.declared for each in arguments if each.source is Source.CONTEXT)
    for each in arguments:
        if each.node is not None:
            yield from contexts_below(each.node.arguments)


def divide(function: Callable[..., Any]) -> Division:
    """Divide an endpoint.

    Raises:
        RegistrationError: A parameter or a dependency can run nowhere; names it and says why.
    """
    return _Divider(has_edge=True).divide(read_parameters(function))


def divide_handler(declared: Iterable[Declared]) -> Division:
    """Divide the parameters of a service handler that `Depends` fills: there is no HTTP call and no edge.

    Raises:
        RegistrationError: A dependency reads an HTTP call.
    """
    return _Divider(has_edge=False).divide(declared)


def step_node(declared: Declared) -> Node:
    """Give the dependency of a step function's parameter. What it reads from the payload is known by its name.

    Raises:
        RegistrationError: It cannot run inside a step.
    """
    return _Divider(has_edge=False, carries_by_name=True).node(declared, is_step=True, depth=0)


def override_node(node: Node, call: Callable[..., Any]) -> Node:
    """Give the node that an override puts in the place of `node`.

    Raises:
        RegistrationError: It needs what an attempt does not have.
    """
    divider = _Divider(has_edge=False, carries_by_name=True)
    arguments = divider.divide(read_parameters(call)).arguments
    return Node(call, call_kind(call), arguments, node.use_cache)


@dataclass(frozen=True, slots=True)
class _Below:
    """What stands somewhere below a dependency: why it has to run at the edge, and why on an attempt."""

    edge: str | None = None
    attempt: str | None = None

    def join(self, other: _Below) -> _Below:
        return _Below(self.edge or other.edge, self.attempt or other.attempt)


class _Divider:
    """The division of one function."""

    def __init__(self, *, has_edge: bool, carries_by_name: bool = False) -> None:
        self._has_edge = has_edge
        self._carries_by_name = carries_by_name
        self._carried: dict[str, Named] = {}

    def divide(self, declared: Iterable[Declared]) -> Division:
        arguments = tuple(self._argument(each, is_step=False, depth=0) for each in declared)
        return Division(self._carried, arguments)

    def node(self, declared: Declared, *, is_step: bool, depth: int) -> Node:
        """Give the node of a dependency that does not run at the edge."""
        call, depends = declared.call, declared.depends
        assert depends is not None
        _refuse_too_deep(declared, depth)
        if getattr(depends, "max_concurrency", None) is not None:
            raise RegistrationError(
                f"{declared}: a dependency with max_concurrency cannot run on attempts.",
                hint="Hold a semaphore inside the dependency, or run it at the edge with the mark Edge.",
            )
        if is_security_scheme(call) or isinstance(depends, params.Security):
            raise RegistrationError(
                f"{declared}: {describe_call(call)} reads credentials, which exist only while the HTTP call lasts.",
                hint="Let it run at the edge: leave the mark out, and let what it returns be data.",
            )
        arguments = tuple(self._argument(each, is_step=is_step, depth=depth + 1) for each in read_parameters(call))
        return Node(call, call_kind(call), arguments, depends.use_cache)

    def _argument(self, declared: Declared, *, is_step: bool, depth: int) -> Argument:
        match declared.role:
            case Role.REQUEST:
                return self._carry(Named(declared, is_edge=False, type=declared.type))
            case Role.CONTEXT if is_step:
                raise RegistrationError(
                    f"{declared} asks for the context, but it is opened inside a step, where no context can be used.",
                    hint="Resolve it on each attempt (leave Step out), or pass what it needs to the step.",
                )
            case Role.CONTEXT:
                return Argument(declared, Source.CONTEXT)
            case Role.CONNECTION:
                raise self._no_connection(declared, depth)
            case Role.DEPENDENCY:
                return self._dependency(declared, is_step=is_step, depth=depth)

    def _dependency(self, declared: Declared, *, is_step: bool, depth: int) -> Argument:
        if is_step or isinstance(declared.mark, StepMark):
            node = self.node(declared, is_step=True, depth=depth)
            return Argument(declared, Source.NODE if is_step else Source.STEP, node)
        instead = instead_of(declared.call)
        if instead is not None:
            raise RegistrationError(
                f"{declared} acts outside of the journal: each attempt would do it again.", hint=instead
            )
        below = _look_below(declared, depth)
        if isinstance(declared.mark, EdgeMark) and below.attempt:
            raise RegistrationError(
                f"{declared} is marked Edge, but {below.attempt}.", hint="Leave the mark out, or the context."
            )
        if below.edge is None or below.attempt is not None or isinstance(declared.mark, PerAttemptMark):
            return Argument(declared, Source.NODE, self.node(declared, is_step=False, depth=depth))
        if not self._has_edge:
            raise RegistrationError(
                f"{declared} reads the HTTP call ({below.edge}), but a handler is not called by one.",
                hint="Use it in an endpoint, and pass what the handler needs as its input.",
            )
        return self._carry(_edge_result(declared))

    def _carry(self, named: Named) -> Argument:
        """Have a value carried; where its name is taken, by one that is the same."""
        declared, other = named.declared, self._carried.get(named.name)
        if other is not None and not _is_same(named, other):
            raise _conflict(declared, other.declared)
        if not self._has_edge and not self._carries_by_name and not declared.has_default:
            raise RegistrationError(
                f"{declared} would be read from an HTTP call, but a handler is not called by one.",
                hint="Give it a default, or pass the value as the handler's input.",
            )
        _refuse_credentials(declared)
        if self._has_edge and other is None:
            self._carried[named.name] = named
        return Argument(declared, Source.CARRIED)

    def _no_connection(self, declared: Declared, depth: int) -> RegistrationError:
        name = declared.type.__name__
        if not self._has_edge and not self._carries_by_name:
            return RegistrationError(
                f"{declared} is a {name}, but a handler is not called over HTTP.",
                hint="Use it in an endpoint, and pass what the handler needs as its input.",
            )
        if depth:
            return RegistrationError(
                f"{declared} is a {name}, which exists only while the HTTP call lasts, but it runs on each attempt.",
                hint="Read it in a dependency of its own without context, Step and PerAttempt; that one runs at the"
                " edge and its result is carried.",
            )
        return RegistrationError(
            f"{declared} is a {name}, which exists only while the HTTP call lasts; the endpoint may go on for longer.",
            hint=_INSTEAD_OF.get(name, "Read it in a dependency, which runs at the edge, and return what is needed."),
        )


_INSTEAD_OF = {
    "Response": "Return a response, for example JSONResponse(content, headers=…), or set headers in a dependency.",
    "BackgroundTasks": "What comes after the answer is a step too: call it with ctx.run, or send it to a handler.",
    "WebSocket": "A WebSocket route cannot be durable; let it call a durable handler through the client.",
    "SecurityScopes": "Ask for it in the dependency that checks the scopes.",
}


def _edge_result(declared: Declared) -> Named:
    if is_security_scheme(declared.call):
        raise RegistrationError(
            f"{declared} is the credential itself, which must not be written to the journal.",
            hint="Depend on a function that checks the credential and returns what the endpoint needs, as data.",
        )
    found = declared.type
    if found is Parameter.empty:
        found = read_result_type(declared.call)
    return Named(declared, is_edge=True, type=found)


def _look_below(declared: Declared, depth: int) -> _Below:
    """Find what ties a dependency to the edge, and what to an attempt."""
    _refuse_too_deep(declared, depth)
    call = describe_call(declared.call)
    if isinstance(declared.depends, params.Security):
        found = _Below(edge="it is Security(…)")
    elif is_security_scheme(declared.call):
        return _Below(edge=f"{call} is a security scheme")
    elif isinstance(declared.mark, EdgeMark):
        found = _Below(edge=f"{declared} is marked Edge")
    elif isinstance(declared.mark, (PerAttemptMark, StepMark)):
        found = _Below(attempt=f"{declared} is marked {type(declared.mark).__name__.removesuffix('Mark')}")
    else:
        found = _Below()
    for each in read_parameters(declared.call):
        match each.role:
            case Role.CONTEXT:
                found = found.join(_Below(attempt=f"{each} is a context"))
            case Role.CONNECTION:
                found = found.join(_Below(edge=f"{each} is a {each.type.__name__}"))
            case Role.REQUEST if isinstance(each.field, (params.Header, params.Cookie)):
                found = found.join(_Below(edge=f"{each} is a {type(each.field).__name__.lower()}"))
            case Role.REQUEST:
                pass
            case Role.DEPENDENCY:
                found = found.join(_look_below(each, depth + 1))
    return found


def _refuse_credentials(declared: Declared) -> None:
    if not isinstance(declared.field, params.Header):
        return
    named = {declared.field.alias or declared.name}
    fields: Any = getattr(declared.type, "model_fields", {})
    named.update(field.alias or name for name, field in fields.items())
    for each in named:
        if each.lower().replace("_", "-") in _CREDENTIALS:
            raise RegistrationError(
                f"{declared} is the header {each.lower()}, which must not be written to the journal.",
                hint="Read it in a dependency, which runs at the edge, and return what the endpoint needs, as data.",
            )


_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


def _is_same(one: Named, other: Named) -> bool:
    """Tell whether two parameters of one name ask for the same value."""
    if one.is_edge != other.is_edge:
        return False
    if one.is_edge:
        return one.declared.call is other.declared.call and one.type == other.type
    ours, theirs = one.declared.parameter, other.declared.parameter
    return bool(ours.annotation == theirs.annotation) and _same_default(ours.default, theirs.default)


def _same_default(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and repr(one) == repr(other))


def _conflict(one: Declared, other: Declared) -> RegistrationError:
    return RegistrationError(
        f"{one} and {other} have the same name but do not mean the same value.",
        hint="Rename one of them, or write both with the same annotation and default.",
    )


def _refuse_too_deep(declared: Declared, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise RegistrationError(f"{declared} depends on itself.", hint="Break the circle of dependencies.")
