"""What counts as a handler function when it is called from another handler or from a client.

Owns the type that ties a call's argument and result to the function that was registered. An `async def` handler gives
its result through an awaitable, a `def` handler gives it directly. A type checker that may choose either for the same
function gives up, so the alternatives differ in their first parameter: a function that takes an asynchronous context
cannot be meant as a `def` handler, and the other way round. Each context below has all others of its kind as bases,
because a function fits if it takes any of them.

After the input a handler may have parameters that an adapter fills, such as FastAPI's dependencies. Endpoints of a web
application have parameters of their own; `Callee` says what they are called with as handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeVar

if TYPE_CHECKING:
    from durably.authoring.contexts import WorkflowContext, WorkflowSharedContext
    from durably.authoring.sync_contexts import SyncWorkflowContext, SyncWorkflowSharedContext

    class _AnyContext(WorkflowContext, WorkflowSharedContext):
        __slots__ = ()

    class _AnySyncContext(SyncWorkflowContext, SyncWorkflowSharedContext):
        __slots__ = ()

        @property
        def start(self) -> _AnyContext: ...

else:
    _AnyContext = _AnySyncContext = Any

__all__ = ["Callee", "HandlerType"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
CalledWithT = TypeVar("CalledWithT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)


class Callee(Protocol[CalledWithT, ResultT]):
    """A function that is called through the runtime with something else than its own parameters. For type checkers."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        ...

    def __durably_callee__(self, arg: CalledWithT, /) -> ResultT:
        """Say what it takes and gives; nobody calls this."""
        ...


HandlerType = (
    Callee[InputT, OutputT]
    | Callable[Concatenate[_AnyContext, InputT, ...], Awaitable[OutputT]]
    | Callable[[_AnyContext], Awaitable[OutputT]]
    | Callable[Concatenate[_AnySyncContext, InputT, ...], OutputT]
    | Callable[[_AnySyncContext], OutputT]
)
"""A registered handler function, as the decorator gave it back."""
