"""Undoing what was done when a handler cannot finish: compensations, registered next to the step they undo.

Owns when compensations run, in which order, and what becomes of the error that made them necessary.

| how the block ends | what happens |
|---|---|
| normally | the compensations are dropped |
| terminal error, also by a failure map, or cancellation | they run, the last one first; then the error goes on |
| any other error, or suspension | nothing: the runtime runs the handler again, and the block goes on |

A compensation is journaled like every other step, so that it runs once however often the handler is run again while
it compensates. A cancellation that arrives in the middle does not stop it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, overload

from durably.authoring.replay_logging import attempt_logger
from durably.authoring.runs import DEFAULT_RUN_OPTIONS, RunOptions, outcome_of
from durably.errors import CompensationFailedError, InvocationCancelledError, RunFailedError, TerminalError, UsageError

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.authoring.futures import DurableFuture
    from durably.authoring.operations import Operations
    from durably.authoring.sync_contexts import SyncContext

__all__ = ["Saga", "SyncSaga"]

ParamsT = ParamSpec("ParamsT")
OperationT = TypeVar("OperationT")

_CANCELLED: Final = InvocationCancelledError()


class _Compensations(Generic[OperationT]):
    """What has been registered, and what failed; the same for both flavours."""

    __slots__ = ("_failed", "_is_open", "_registered")

    def __init__(self) -> None:
        self._registered: list[tuple[str, OperationT]] = []
        self._failed: list[tuple[str, TerminalError]] = []
        self._is_open = False

    def _enter(self) -> None:
        if self._is_open:
            raise UsageError("This saga is open already.", hint="Make a new one for every `with` block.")
        self._is_open = True

    def _register(self, name: str, operation: OperationT) -> None:
        if not self._is_open:
            raise UsageError(
                f"The compensation {name!r} was registered outside the saga's `with` block.",
                hint="Register it inside, before the step that it undoes.",
            )
        self._registered.append((name, operation))

    def _is_needed(self, error: BaseException | None, context: Operations) -> bool:
        """Close the saga; say whether its compensations run."""
        self._is_open = False
        return error is not None and isinstance(outcome_of(error, context), TerminalError)

    def _in_reverse(self) -> Iterator[tuple[str, OperationT]]:
        while self._registered:
            yield self._registered.pop()

    def _note_failure(self, name: str, failure: TerminalError) -> None:
        attempt_logger.error("The compensation %r failed for good: %s", name, failure)
        self._failed.append((name, failure))

    def _raise_failures(self, error: BaseException | None, context: Operations) -> None:
        """Tell the caller that not everything could be undone; without failures the block's own error goes on."""
        if not self._failed:
            return
        outcome = None if error is None else outcome_of(error, context)
        assert isinstance(outcome, TerminalError)
        raise CompensationFailedError(outcome, tuple(self._failed)) from error


class Saga(_Compensations["Callable[[], Awaitable[Any]]"]):
    """Compensations of an `async def` handler, as an `async with` block.

        async with Saga(ctx) as saga:
            saga.compensate("release", release, order.id)
            await ctx.run_typed("reserve", reserve, order)
            saga.compensate("refund", refund, payment_id)
            await ctx.run_typed("charge", charge, payment_id, order.total)

    Register a compensation before the step it undoes: a step that failed for good may have had its effect. The
    compensation must therefore be harmless if there is nothing to undo, and if it is done twice.

    Raises:
        CompensationFailedError: At the end of the block, when a compensation failed for good. All the others ran.
    """

    __slots__ = ("_context",)

    def __init__(self, ctx: Context) -> None:
        """Compensate through the handler's context."""
        super().__init__()
        self._context = ctx

    @overload
    def compensate(
        self,
        name: str,
        action: Callable[ParamsT, Coroutine[Any, Any, Any]],
        options: RunOptions[Any] = ...,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> None: ...
    @overload
    def compensate(
        self,
        name: str,
        action: Callable[ParamsT, Any],
        options: RunOptions[Any] = ...,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> None: ...
    def compensate(
        self,
        name: str,
        action: Callable[ParamsT, Any],
        options: RunOptions[Any] = DEFAULT_RUN_OPTIONS,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> None:
        """Run `action(*args, **kwargs)` as a durable step if the block fails for good.

        Args:
            name: Label of the step.
            action: As for `ctx.run_typed`. By default it is retried until it succeeds.
            options: Of the step.
            args: Positional arguments for the action.
            kwargs: Keyword arguments for the action.

        Raises:
            UsageError: The block is not open.
        """

        async def step() -> None:
            is_done = False
            while not is_done:
                is_done = await _settled(self._context.run_typed(name, action, options, *args, **kwargs))

        self._register(name, step)

    def defer(
        self, function: Callable[ParamsT, Awaitable[Any]], /, *args: ParamsT.args, **kwargs: ParamsT.kwargs
    ) -> None:
        """Await `function(*args, **kwargs)` if the block fails for good; it may use the context.

        For compensations that are more than a step, as `saga.defer(ctx.service_call, refund, order)`. When a
        cancellation interrupts it, it is called again.

        Raises:
            UsageError: The block is not open.
        """

        async def call() -> None:
            while True:
                try:
                    await function(*args, **kwargs)
                    return
                except InvocationCancelledError:
                    continue

        self._register(getattr(function, "__name__", "deferred"), call)

    async def __aenter__(self) -> Self:
        """Open the block.

        Raises:
            UsageError: It is open already.
        """
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Compensate if the block failed for good; its error goes on."""
        if not self._is_needed(error, self._context):
            return
        for name, compensation in self._in_reverse():
            try:
                await compensation()
            except TerminalError as failure:
                self._note_failure(name, failure)
        self._raise_failures(error, self._context)


class SyncSaga(_Compensations["Callable[[], Any]"]):
    """Compensations of a `def` handler, as a `with` block; see `Saga`.

    with SyncSaga(ctx) as saga:
        saga.compensate("release", release, order.id)
        ctx.run_typed("reserve", reserve, order)
    """

    __slots__ = ("_context",)

    def __init__(self, ctx: SyncContext) -> None:
        """Compensate through the handler's context."""
        super().__init__()
        self._context = ctx

    def compensate(
        self,
        name: str,
        action: Callable[ParamsT, Any],
        options: RunOptions[Any] = DEFAULT_RUN_OPTIONS,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> None:
        """Run `action(*args, **kwargs)` as a durable step if the block fails for good; see `Saga.compensate`."""

        def step() -> None:
            future = self._context.start.run_typed(name, action, options, *args, **kwargs)
            while True:
                try:
                    future.result()
                    return
                except InvocationCancelledError:
                    continue  # a step of a `def` handler is not aborted: its result is still to come

        self._register(name, step)

    def defer(self, function: Callable[ParamsT, Any], /, *args: ParamsT.args, **kwargs: ParamsT.kwargs) -> None:
        """Call `function(*args, **kwargs)` if the block fails for good; it may use the context. See `Saga.defer`."""

        def call() -> None:
            while True:
                try:
                    function(*args, **kwargs)
                    return
                except InvocationCancelledError:
                    continue

        self._register(getattr(function, "__name__", "deferred"), call)

    def __enter__(self) -> Self:
        """Open the block.

        Raises:
            UsageError: It is open already.
        """
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Compensate if the block failed for good; its error goes on."""
        context = self._context.start
        if not self._is_needed(error, context):
            return
        for name, compensation in self._in_reverse():
            try:
                compensation()
            except TerminalError as failure:
                self._note_failure(name, failure)
        self._raise_failures(error, context)


async def _settled(step: DurableFuture[Any]) -> bool:
    """Wait for a step whatever cancellations arrive; False if one of them aborted it, so that it must be done anew."""
    was_interrupted = False
    while True:
        try:
            await step
            return True
        except InvocationCancelledError:
            was_interrupted = True
        except RunFailedError as failure:
            if was_interrupted and _is_cancellation(failure):
                return False
            raise


def _is_cancellation(failure: TerminalError) -> bool:
    return (failure.status_code, failure.message) == (_CANCELLED.status_code, _CANCELLED.message)
