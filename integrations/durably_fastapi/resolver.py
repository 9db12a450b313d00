"""Resolving dependencies on an attempt of an `async def` handler.

Owns the order of things: dependencies are resolved as FastAPI resolves them (overrides first, each once unless
`use_cache=False`, plain functions in a thread), the function runs, and what was opened is closed in reverse order, be
it after a result, an error or a suspension. `durably_fastapi.blocking_resolver` does the same for `def` handlers.

Rules
1. What a dependency does at its clean-up belongs to the attempt: if it fails, the attempt has failed.
2. A dependency cannot swallow what the function raised: the attempt ends with it all the same.
3. A signal that unwinds the attempt stays that signal, whatever a clean-up raises.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar, assert_never, cast

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter
from starlette.concurrency import run_in_threadpool

from durably.errors import RegistrationError, SdkInternalBaseException, UsageError
from durably_fastapi.analysis import CallKind
from durably_fastapi.dependencies import Argument, Node, Source, override_node

__all__ = ["AsyncResolver", "AttemptScope", "find_value", "overridden", "run_async"]

T = TypeVar("T")

_logger: Final = logging.getLogger("durably.fastapi")

_SIGNALS: Final = (SdkInternalBaseException, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


@dataclass(frozen=True, slots=True)
class AttemptScope:
    """What the dependencies of one attempt see.

    Attributes:
        context: Of the attempt, as the handler gets it; None inside a step.
        values: What was carried, by name.
        overrides: Of the application, as they are now.
        handles: What stands for the dependencies of steps, by parameter name.
    """

    context: Any
    values: Mapping[str, Any]
    overrides: Mapping[Callable[..., Any], Callable[..., Any]]
    handles: Mapping[str, Any]

    def inside_step(self) -> AttemptScope:
        """Give the scope of what is opened for one step."""
        return AttemptScope(None, self.values, self.overrides, {})


def overridden(node: Node, scope: AttemptScope) -> Node:
    """Give the node that stands for `node` where an override says so.

    Raises:
        UsageError: The override needs what an attempt does not have.
    """
    other = scope.overrides.get(node.call) if scope.overrides else None
    if other is None:
        return node
    try:
        return override_node(node, other)
    except RegistrationError as error:
        raise UsageError(f"The override of a dependency: {error.message}", hint=error.hint) from error


def find_value(argument: Argument, scope: AttemptScope) -> Any:
    """Give the value of an argument that needs no dependency.

    Raises:
        UsageError: It was not carried and has no default.
    """
    match argument.source:
        case Source.CONTEXT:
            if scope.context is None:
                raise UsageError(f"{argument.declared} asks for the context inside a step.", hint="Leave Step out.")
            return scope.context
        case Source.STEP:
            return scope.handles[argument.name]
        case Source.CARRIED | Source.NODE:
            if argument.name in scope.values:
                return scope.values[argument.name]
            if argument.declared.has_default:
                return argument.declared.default_value()
            raise UsageError(
                f"{argument.declared} is read from the HTTP call, but nothing of this name was carried.",
                hint="Give it a default, or make it a parameter of the endpoint.",
            )
        case _:
            assert_never(argument.source)


class AsyncResolver:
    """Resolves dependencies on an event loop; what they open goes onto `stack`."""

    __slots__ = ("_cache", "_scope", "_stack")

    def __init__(self, scope: AttemptScope, stack: AsyncExitStack[bool]) -> None:
        """Begin with an empty cache."""
        self._scope = scope
        self._stack = stack
        self._cache: dict[Callable[..., Any], Any] = {}

    async def arguments(self, arguments: Iterable[Argument]) -> dict[str, Any]:
        """Give the values for a call, in the order of its parameters.

        Raises:
            UsageError: A value that no attempt has is asked for.
        """
        found: dict[str, Any] = {}
        for each in arguments:
            if each.source is Source.NODE and each.node is not None:
                found[each.name] = await self._resolve(each.node)
            else:
                found[each.name] = find_value(each, self._scope)
        return found

    async def _resolve(self, asked: Node) -> Any:
        if asked.use_cache and asked.call in self._cache:
            return self._cache[asked.call]
        node = overridden(asked, self._scope)
        value = await self._call(node, await self.arguments(node.arguments))
        self._cache.setdefault(asked.call, value)
        return value

    async def _call(self, node: Node, arguments: dict[str, Any]) -> Any:
        match node.kind:
            case CallKind.PLAIN if node.takes_context:
                return node.call(**arguments)  # a context belongs to its event loop, not to another thread
            case CallKind.PLAIN:
                return await run_in_threadpool(node.call, **arguments)
            case CallKind.COROUTINE:
                return await node.call(**arguments)
            case CallKind.GENERATOR if node.takes_context:
                return self._stack.enter_context(contextmanager(node.call)(**arguments))
            case CallKind.GENERATOR:
                manager = InThread(contextmanager(node.call)(**arguments))
                return await self._stack.enter_async_context(manager)
            case CallKind.ASYNC_GENERATOR:
                return await self._stack.enter_async_context(asynccontextmanager(node.call)(**arguments))
            case _:
                assert_never(node.kind)


async def run_async(function: Callable[..., Any], arguments: tuple[Argument, ...], scope: AttemptScope) -> Any:
    """Call `function` with its dependencies, and close them afterwards."""
    raised: BaseException | None = None
    result: Any = None
    try:
        async with AsyncExitStack() as stack:
            try:
                values = await AsyncResolver(scope, cast("AsyncExitStack[bool]", stack)).arguments(arguments)
                result = await function(**values)
            except BaseException as error:
                raised = error
                raise
    except BaseException as error:
        if raised is not None and error is not raised and isinstance(raised, _SIGNALS):
            _logger.error("A dependency failed at its clean-up while the attempt ended.", exc_info=error)
            raise raised from None
        raise
    if raised is not None:
        raise raised
    return result


class InThread:
    """Enters and leaves a synchronous context manager in threads, as FastAPI does.

    Unlike there, `BaseException`s reach it too: a suspension is one. Whatever was opened is closed, also when the
    task is cancelled in between.
    """

    __slots__ = ("_manager",)

    def __init__(self, manager: AbstractContextManager[T]) -> None:
        """Wrap a manager that is not entered yet."""
        self._manager: AbstractContextManager[Any] = manager

    async def __aenter__(self) -> Any:
        opening = asyncio.ensure_future(run_in_threadpool(self._manager.__enter__))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError as error:
            if opening.cancelled():
                raise
            await _wait_for(opening)
            if opening.exception() is None:
                await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # A limiter of its own: to wait for a free thread could be to wait for those that wait for this one's resource.
        with CancelScope(shield=True):
            leave = self._manager.__exit__
            return bool(await anyio.to_thread.run_sync(leave, kind, error, trace, limiter=CapacityLimiter(1)))


async def _wait_for(future: asyncio.Future[Any]) -> None:
    """Wait until a thread is done, however often the waiting is cancelled."""
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            continue
