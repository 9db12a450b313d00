"""Resources of a single step: opened when its action executes, closed right after.

Owns what step managers are, and the action that enters them around another one. A handler without any never comes
here, and neither does a step that is replayed.

Rules
1. Every execution opens anew: managers are made, entered and left within one execution of the action.
2. An `async def` action runs inside all of them, on the event loop. A plain action runs in its thread inside the
   synchronous ones; the asynchronous ones are entered on the event loop, around the thread.
3. The result is written while they are open. A failure to open, to write or to close is a failure of the step, which
   is then not recorded and follows its retry policy.
4. Whatever ends the action, a cancellation too, leaves them. No manager around a thread is left before the thread is.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from durably.authoring.runs import is_coroutine_action
from durably.authoring.step_threads import execute_in_thread
from durably.errors import ConfigurationError

if TYPE_CHECKING:
    from durably.authoring.futures import RunFuture
    from durably.authoring.operations import Operations

__all__ = ["ManagedFunction", "StepInfo", "StepManager", "StepManagerFactory", "manage_step"]


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What a step manager is made for.

    Attributes:
        name: Label of the step.
        action: What was given to `run`, as it was given.
        arguments: Its positional arguments.
        keywords: Its keyword arguments, without those that managers add.
        context: The handler's context; a manager may look at it, but not use it to record anything.
    """

    name: str
    action: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    context: Operations


StepManager: TypeAlias = (
    AbstractContextManager[Mapping[str, Any] | None] | AbstractAsyncContextManager[Mapping[str, Any] | None]
)
"""What it gives when entered is passed to the action as further keyword arguments, unless they were given."""

StepManagerFactory: TypeAlias = Callable[[StepInfo], StepManager | None]
"""Makes a manager for one execution of a step, or None where the step needs none; in a `def` handler a synchronous
one."""


def manage_step(run: RunFuture[Any], context: Operations, factories: tuple[StepManagerFactory, ...]) -> None:
    """Let the step's action execute inside managers."""
    step = _Step(run, context, factories)
    run.serialize = _as_written
    if not context.handler.is_async:
        run.action = functools.partial(_blocking, step)
    elif is_coroutine_action(run.action):
        run.action = functools.partial(_awaiting, step)
    else:
        run.action = ManagedFunction(step)


def _as_written(payload: Any) -> bytes:
    return cast("bytes", payload)


class _Step:
    """One step, and what its executions need."""

    __slots__ = ("_factories", "_info", "action", "serialize")

    def __init__(self, run: RunFuture[Any], context: Operations, factories: tuple[StepManagerFactory, ...]) -> None:
        self._factories = factories
        self._info = StepInfo(run.name, run.action, run.arguments, run.keywords, context)
        self.action: Callable[..., Any] = run.action
        self.serialize: Callable[[Any], bytes] = run.serialize

    def managers(self) -> list[StepManager]:
        info = self._info
        return [manager for factory in self._factories if (manager := factory(info)) is not None]

    def not_synchronous(self, manager: object) -> ConfigurationError:
        return ConfigurationError(
            f"Step {self._info.name!r} of a def handler has an asynchronous step manager, {type(manager).__name__}.",
            hint="Give the handler a synchronous one, or make it async def.",
        )


def _is_async(manager: object) -> bool:
    return hasattr(manager, "__aenter__")


def _add(keywords: dict[str, Any], given: Mapping[str, Any] | None) -> None:
    if given:
        for name, value in given.items():
            keywords.setdefault(name, value)


def _blocking(step: _Step, /, *args: Any, **kwargs: Any) -> Any:
    """Execute a plain action of a `def` handler."""
    managers = step.managers()
    if not managers:
        value = step.action(*args, **kwargs)
        return value if isawaitable(value) else step.serialize(value)  # the driver refuses an awaitable
    stack: ExitStack[bool] = ExitStack()
    with stack:
        for manager in managers:
            if not hasattr(manager, "__enter__"):
                raise step.not_synchronous(manager)
            _add(kwargs, stack.enter_context(cast("AbstractContextManager[Any, bool]", manager)))
        value = step.action(*args, **kwargs)
        return value if isawaitable(value) else step.serialize(value)
    return step.serialize(None)  # a manager may swallow what the action raised


async def _awaiting(step: _Step, /, *args: Any, **kwargs: Any) -> Any:
    """Execute an `async def` action."""
    managers = step.managers()
    if not managers:  # nearly always, where a framework offers them to every step
        return step.serialize(await step.action(*args, **kwargs))
    stack: AsyncExitStack[bool] = AsyncExitStack()
    async with stack:
        for manager in managers:
            if _is_async(manager):
                given = await stack.enter_async_context(cast("AbstractAsyncContextManager[Any, bool]", manager))
            else:
                given = stack.enter_context(cast("AbstractContextManager[Any, bool]", manager))
            _add(kwargs, given)
        return step.serialize(await step.action(*args, **kwargs))
    return step.serialize(None)


class ManagedFunction:
    """A plain action of an `async def` handler. The driver executes it with `in_thread`."""

    __slots__ = ("_step",)

    def __init__(self, step: _Step) -> None:
        """Execute the action of `step`."""
        self._step = step

    def __call__(self) -> None:
        """Do nothing by itself: it is no function that could be called anywhere."""

    async def in_thread(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        """Execute the action in a thread; wait for what it gives if that is awaitable.

        A cancellation waits for the thread where a manager on the event loop must outlive it.
        """
        step, loop = self._step, asyncio.get_running_loop()
        keywords = dict(keywords)
        outer: list[StepManager] = []
        inner: list[StepManager] = []
        for manager in step.managers():
            (outer if _is_async(manager) else inner).append(manager)
        stack: AsyncExitStack[bool] = AsyncExitStack()
        async with stack:
            for manager in outer:
                _add(keywords, await stack.enter_async_context(cast("AbstractAsyncContextManager[Any, bool]", manager)))
            execution = _ThreadExecution(step, inner, loop)
            variables = contextvars.copy_context()
            future = execute_in_thread(loop, lambda: variables.run(execution.run, arguments, keywords))
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                execution.cancel()
                if outer:
                    await _outlive(future)
                else:
                    future.add_done_callback(_look_at)
                raise
        return step.serialize(None)


class _ThreadExecution:
    """One execution in a thread, with the managers that live there."""

    __slots__ = ("_awaited", "_inner", "_is_cancelled", "_lock", "_loop", "_step")

    def __init__(self, step: _Step, inner: list[StepManager], loop: asyncio.AbstractEventLoop) -> None:
        self._step = step
        self._inner = inner
        self._loop = loop
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._awaited: Future[Any] | None = None

    def run(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
        stack: ExitStack[bool] = ExitStack()
        with stack:
            for manager in self._inner:
                _add(keywords, stack.enter_context(cast("AbstractContextManager[Any, bool]", manager)))
            value = self._step.action(*arguments, **keywords)
            if isawaitable(value):
                value = self._result_of(value)
            return self._step.serialize(value)
        return self._step.serialize(None)

    def _result_of(self, awaitable: Any) -> Any:
        """Wait on the loop, while this thread keeps its managers open."""
        with self._lock:
            if self._is_cancelled:
                close = getattr(awaitable, "close", None)
                if close is not None:
                    close()
                raise CancelledError
            awaited = self._awaited = asyncio.run_coroutine_threadsafe(_await(awaitable), self._loop)
        return awaited.result()

    def cancel(self) -> None:
        """Cancel what the action left to be awaited; a plain function runs to its end."""
        with self._lock:
            self._is_cancelled = True
            if self._awaited is not None:
                self._awaited.cancel()


async def _await(value: Any) -> Any:
    return await value


async def _outlive(future: asyncio.Future[Any]) -> None:
    """Wait for the end of the thread, however often the waiting is cancelled; its outcome is nobody's."""
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            continue
    _look_at(future)


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
