"""The types of durable endpoints: what the decorator gives, for type checkers.

Owns two protocols. A decorated endpoint keeps its signature, for the route and for tests that call it; as a handler it
is called with a mapping of its named values, the payload that other services send as JSON.

An endpoint whose first parameter is its context looks to pyright like a handler that takes the second as its input; to
call such a one through the runtime, let the context stand elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, overload

__all__ = ["EndpointDecorator", "TypedEndpoint"]

ParamsT = ParamSpec("ParamsT")
OutputT = TypeVar("OutputT")
ReturnedT = TypeVar("ReturnedT", covariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class TypedEndpoint(Protocol[ParamsT, ReturnedT, ResultT]):
    """A function under `@durably.endpoint`: called with its parameters, or through the runtime with its values by name.

    Attributes:
        __name__: Of the function.
    """

    __name__: str

    def __call__(self, *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnedT:
        """Call it as it was written."""
        ...

    def __durably_callee__(self, arg: Mapping[str, Any], /) -> ResultT:
        """Say what `ctx.service_call(endpoint, arg={…})` takes and gives; nobody calls this."""
        ...


class EndpointDecorator(Protocol):
    """What `durably.endpoint(key=…)` gives."""

    @overload
    def __call__(
        self, function: Callable[ParamsT, Coroutine[Any, Any, OutputT]], /
    ) -> TypedEndpoint[ParamsT, Coroutine[Any, Any, OutputT], OutputT]: ...

    @overload
    def __call__(self, function: Callable[ParamsT, OutputT], /) -> TypedEndpoint[ParamsT, OutputT, OutputT]: ...

    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Make a function durable."""
        ...
