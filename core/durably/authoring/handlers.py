"""One registered handler: all that running, calling and describing it needs, worked out once.

Owns the building of a `Handler` from a function, and the way back from a registered function to its handler.
Nothing is inspected after registration. Knows nothing of machines or of how attempts are driven.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter
from types import FunctionType
from typing import Any, Final, TypeVar, cast

from durably.annotations import plain_function
from durably.authoring.failures import FailureMap
from durably.authoring.options import ContextManagerFactory, HandlerOptions
from durably.authoring.signatures import (
    HandlerKind,
    HandlerSignature,
    ServiceKind,
    binder_step_managers,
    read_signature,
)
from durably.authoring.step_managers import StepManagerFactory
from durably.errors import (
    RegistrationError,
    RetryableError,
    SerdeError,
    TerminalError,
    UsageError,
)
from durably.serde import (
    DEFAULT_SERDE,
    BytesSerde,
    DefaultSerde,
    MsgspecJsonSerde,
    PydanticJsonSerde,
    Serde,
    TypedSerde,
    serde_for,
)

__all__ = [
    "Handler",
    "HandlerDefinition",
    "HandlerKind",
    "Payload",
    "ServiceKind",
    "attach_handler",
    "find_handler",
    "handler_of",
    "make_handler",
]

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_BAD_INPUT = 400
_ATTRIBUTE: Final = "__durably_handler__"
_NAME: Final = re.compile(r"([a-zA-Z]|_[a-zA-Z0-9])[a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Payload:
    """What a handler takes or gives.

    Attributes:
        serde: How it is written and read.
        content_type: Its media type, or a range of them for input.
        is_void: There is none.
        required: Whether an empty body is refused, unless None is a value of the type; only for input.
    """

    serde: Serde[Any]
    content_type: str
    is_void: bool
    required: bool = False

    @property
    def refuses_nothing(self) -> bool:
        """Whether no body at all is not among the values. Known only once all names in the type are defined."""
        return self.required and isinstance(self.serde, TypedSerde) and not self.serde.format.accepts_none

    def json_schema(self, *, of_input: bool) -> dict[str, Any] | None:
        """Describe it as JSON Schema (2020-12, without references to the outside), or None where nothing is known."""
        match self.serde:
            case PydanticJsonSerde(model=model) | MsgspecJsonSerde(model=model):
                typed = serde_for(model)
            case _:
                typed = self.serde
        if not isinstance(typed, TypedSerde):
            return None
        return typed.format.schema("validation" if of_input else "serialization")


@dataclass(slots=True, kw_only=True, eq=False, weakref_slot=True)
class Handler:
    """A registered handler.

    Attributes:
        service_name: Name of its service.
        service_kind: Kind of its service.
        name: Its own name.
        kind: How its invocations may overlap.
        function: What was decorated.
        is_async: Whether `invoke` gives an awaitable.
        takes_input: Whether `function` has an input parameter.
        context_class: Class of the context it is given.
        invoke: Runs it: `invoke(context, input)`; the input is ignored where it takes none.
        decode_input: The request's body to the input; raises `TerminalError` 400, naming the field.
        encode_output: The result to the response's body; raises `SerdeError`.
        input: What it takes.
        output: What it gives.
        context_managers: Entered around each attempt, the first one outermost; the service's come first.
        step_managers: Make what is entered around each executed step: the service's, the handler's, the binders'.
        failures: Which exceptions are terminal, by the handler's and the service's word.
        explicit_cancellation: Whether it deals with cancellation itself.
        options: What the runtime is told.
        documentation: Its docstring.
        signature: As it was read.
    """

    service_name: str
    service_kind: ServiceKind
    name: str
    kind: HandlerKind
    function: Callable[..., Any]
    is_async: bool
    takes_input: bool
    context_class: type[Any]
    invoke: Callable[[Any, Any], Any]
    decode_input: Callable[[bytes], Any]
    encode_output: Callable[[Any], bytes]
    input: Payload
    output: Payload
    context_managers: tuple[ContextManagerFactory, ...]
    step_managers: tuple[StepManagerFactory, ...]
    failures: FailureMap
    explicit_cancellation: bool
    options: HandlerOptions
    documentation: str | None
    signature: HandlerSignature

    @property
    def input_serde(self) -> Serde[Any]:
        """How the input is written and read."""
        return self.input.serde

    @property
    def output_serde(self) -> Serde[Any]:
        """How the result is written and read."""
        return self.output.serde

    @property
    def accept(self) -> str:
        """Media types of the input."""
        return self.input.content_type

    @property
    def content_type(self) -> str:
        """Media type of the result."""
        return self.output.content_type

    @property
    def is_keyed(self) -> bool:
        """Whether calls of it need a key."""
        return self.service_kind is not ServiceKind.SERVICE

    @property
    def metadata(self) -> Mapping[str, str] | None:
        """Shown to operators."""
        return self.options.metadata

    @property
    def requires_input(self) -> bool:
        """Whether an empty body is refused: the input is typed, has no default, and None is not among its values."""
        return self.input.refuses_nothing

    def __repr__(self) -> str:
        return f"<Handler {self.service_name}/{self.name}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerDefinition:
    """What a decorator was told about a handler, before it saw the function."""

    service_name: str
    service_kind: ServiceKind
    kind: HandlerKind
    name: str | None
    accept: str
    content_type: str
    input_serde: Serde[Any]
    output_serde: Serde[Any]
    service_options: HandlerOptions
    options: HandlerOptions
    failures: FailureMap


def make_handler(function: Callable[..., Any], definition: HandlerDefinition) -> Handler:
    """Build the handler of a function.

    Raises:
        RegistrationError: The name, the signature, a type or a combination of options cannot work.
    """
    name: str = definition.name if definition.name else getattr(plain_function(function), "__name__", "")
    where = f"Handler {definition.service_name}/{name}"
    if not _NAME.fullmatch(name):
        raise RegistrationError(
            f"{where}: {name!r} cannot be a handler's name.",
            hint="Use letters, digits and underscores, beginning with a letter; name='…' overrides the function's.",
        )
    options, service = definition.options, definition.service_options
    if service.ingress_private and options.ingress_private is False:
        raise RegistrationError(
            f"{where} is public, but its service is private.",
            hint="A private service hides all its handlers: leave ingress_private away on one of the two.",
        )
    signature = read_signature(function, definition.service_kind, definition.kind, where)
    input_payload = _input_payload(definition, signature, where)
    output_payload = _output_payload(definition, signature, where)
    explicit = options.explicit_cancellation
    return Handler(
        service_name=definition.service_name,
        service_kind=definition.service_kind,
        name=name,
        kind=definition.kind,
        function=function,
        is_async=signature.is_async,
        takes_input=signature.input is not None,
        context_class=signature.context_class,
        invoke=_invoker(function, signature),
        decode_input=_decoder(f"{definition.service_name}/{name}", input_payload, signature),
        encode_output=output_payload.serde.serialize,
        input=input_payload,
        output=output_payload,
        context_managers=service.context_managers + options.context_managers,
        step_managers=service.step_managers + options.step_managers + binder_step_managers(function, signature),
        failures=definition.failures,
        explicit_cancellation=bool(service.explicit_cancellation if explicit is None else explicit),
        options=replace(options, context_managers=(), step_managers=()),
        documentation=inspect.getdoc(plain_function(function)),
        signature=signature,
    )


def _input_payload(definition: HandlerDefinition, signature: HandlerSignature, where: str) -> Payload:
    if signature.input is None:
        return Payload(serde_for(None), definition.accept, is_void=True)
    parameter = signature.input
    what = f"{where}: parameter `{parameter.name}`"
    serde = _serde(definition.input_serde, signature.input_type, definition.accept, signature, what)
    required = parameter.default is Parameter.empty and isinstance(serde, TypedSerde)
    return Payload(serde, definition.accept, is_void=False, required=required)


def _output_payload(definition: HandlerDefinition, signature: HandlerSignature, where: str) -> Payload:
    is_void = signature.output_type in (None, type(None)) and definition.output_serde is DEFAULT_SERDE
    what = f"{where}: the result"
    serde = _serde(definition.output_serde, signature.output_type, definition.content_type, signature, what)
    return Payload(serde, definition.content_type, is_void=is_void)


def _serde(given: Serde[Any], annotation: Any, media_type: str, signature: HandlerSignature, what: str) -> Serde[Any]:
    if type(given) is not DefaultSerde:
        return given
    hint: Any = given.type_hint or annotation
    if hint is bytes and "json" not in media_type.lower():
        return BytesSerde()
    try:
        return serde_for(hint, signature.names)
    except UsageError as error:
        raise RegistrationError(f"{what}: {error.message}", hint=error.hint) from error


def _invoker(function: Callable[..., Any], signature: HandlerSignature) -> Callable[[Any, Any], Any]:
    called = function
    by_binder = {id(each.binder): each.binder for each in signature.bound}
    for key, binder in by_binder.items():
        called = binder.bind(called, signature, tuple(each for each in signature.bound if id(each.binder) == key))
    if signature.input is not None:
        return called

    def without_input(context: Any, _: Any) -> Any:
        return called(context)

    return without_input


def _decoder(target: str, payload: Payload, signature: HandlerSignature) -> Callable[[bytes], Any]:
    """Make the reading of the input. What cannot be read is the caller's fault and cannot be cured by a retry."""
    if signature.input is None:
        return lambda _: None
    serde = payload.serde
    deserialize = serde.deserialize
    default = signature.input.default
    has_default = default is not Parameter.empty

    def decode_input(body: bytes) -> Any:
        if not body:
            if has_default:
                return default
            if payload.refuses_nothing:
                raise TerminalError(f"{target} needs an input, but the request has no body.", _BAD_INPUT)
        try:
            return deserialize(body)
        except SerdeError as error:
            problems = "; ".join(error.problems) or "it cannot be read"
            raise TerminalError(f"Invalid input for {target}: {problems}.", _BAD_INPUT) from error
        except (TerminalError, RetryableError, UsageError):
            raise
        except Exception as error:
            # A serde of the user's own; its text may hold the value, so only the class is named.
            raise TerminalError(f"Invalid input for {target}: {type(error).__name__}.", _BAD_INPUT) from error

    return decode_input


def attach_handler(function: FunctionT, handler: Handler) -> FunctionT:
    """Give the callable that stands for `handler` from now on: `function` itself wherever that is possible.

    A function that is registered a second time, or one that takes no attributes, gets a stand-in.
    """
    standing_in: Any = function
    if isinstance(function, FunctionType):
        if _ATTRIBUTE in vars(function):
            standing_in = _copy_function(function)
    elif handler.is_async:

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        standing_in = call_async
    else:

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        standing_in = call
    setattr(standing_in, _ATTRIBUTE, handler)
    return cast("FunctionT", standing_in)


def _copy_function(function: FunctionType) -> FunctionType:
    copied = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(copied, function)
    return copied


def find_handler(function: Any) -> Handler | None:
    """Give the handler that a decorated function stands for, or None."""
    handler = getattr(function, _ATTRIBUTE, None)
    return handler if isinstance(handler, Handler) else None


def handler_of(function: Any) -> Handler:
    """Give the handler that a decorated function stands for.

    Raises:
        UsageError: It was never registered, or it is the undecorated function.
    """
    handler = getattr(function, _ATTRIBUTE, None)
    if isinstance(handler, Handler):
        return handler
    if isinstance(function, Handler):
        return function
    shown = getattr(function, "__qualname__", repr(function))
    raise UsageError(
        f"{shown} is not a registered handler.",
        hint="Pass the function as the decorator returned it (@service.handler()), or use generic_call with names.",
    )
