"""Handlers of services that this program does not have, such as those written in another language.

    greet = Foreign("Greeter", "greet", input=str, output=str)
    greeting = await client.call(greet, "Ada")

Owns the reference; it stands where a decorated handler stands, and is typed as one.
"""

from __future__ import annotations

from typing import Any, Generic, TypeGuard, TypeVar, overload

from durably.errors import UsageError
from durably.serde import BytesSerde, Serde, serde_for

__all__ = ["Foreign", "is_foreign"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
_I = TypeVar("_I")
_O = TypeVar("_O")


class Foreign(Generic[InputT, OutputT]):
    """A handler by its names, with the types of its input and its output.

    Attributes:
        service: Name of the service, object or workflow.
        handler: Name of the handler.
        input_serde: Writes the input; None where the handler takes none.
        output_serde: Reads the output; None where it gives none.
    """

    __slots__ = ("handler", "input_serde", "output_serde", "service")

    @overload
    def __init__(
        self,
        service: str,
        handler: str,
        *,
        input: type[InputT] | Serde[InputT],
        output: type[OutputT] | Serde[OutputT],
    ) -> None: ...
    @overload
    def __init__(self: Foreign[None, _O], service: str, handler: str, *, output: type[_O] | Serde[_O]) -> None: ...
    @overload
    def __init__(self: Foreign[_I, None], service: str, handler: str, *, input: type[_I] | Serde[_I]) -> None: ...
    @overload
    def __init__(self: Foreign[None, None], service: str, handler: str) -> None: ...
    def __init__(self, service: str, handler: str, *, input: Any = None, output: Any = None) -> None:
        """Refer to a handler.

        Args:
            service: As it is registered.
            handler: As it is registered.
            input: A type, which is written as JSON (`bytes` as they are), or a serde; None if there is no input.
            output: The same for the result.

        Raises:
            UsageError: A name is no text, or empty.
        """
        _check_name("service", service)
        _check_name("handler", handler)
        self.service: str = service
        self.handler: str = handler
        self.input_serde: Serde[Any] | None = _serde_of(input)
        self.output_serde: Serde[Any] | None = _serde_of(output)

    def __repr__(self) -> str:
        return f"<Foreign {self.service}/{self.handler}>"


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise UsageError(f"A foreign {what} has a name, not {name!r}.")


def is_foreign(tpe: Any) -> TypeGuard[Foreign[Any, Any]]:
    """Tell whether something is a foreign handler."""
    return isinstance(tpe, Foreign)


def _serde_of(given: Any) -> Serde[Any] | None:
    if given is None or given is type(None):
        return None
    if isinstance(given, Serde):
        return given  # pyright: ignore[reportUnknownVariableType]
    return BytesSerde() if given is bytes else serde_for(given)
