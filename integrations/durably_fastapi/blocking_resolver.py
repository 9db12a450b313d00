"""Resolving dependencies on an attempt of a `def` handler, in the handler's thread.

Owns the same order as `durably_fastapi.resolver`, without an event loop: plain functions run here, asynchronous ones
on an event loop beside, all of one attempt in one task, so that what they open they close in the same task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final, assert_never

from durably.errors import SdkInternalBaseException
from durably.hosting.process_loop import process_loop
from durably_fastapi.analysis import CallKind
from durably_fastapi.dependencies import Argument, Node, Source
from durably_fastapi.resolver import AttemptScope, find_value, overridden

__all__ = ["BlockingResolver", "LoopSide", "run_blocking"]

_logger: Final = logging.getLogger("durably.fastapi")

_SIGNALS: Final = (SdkInternalBaseException, GeneratorExit, KeyboardInterrupt)

Loops = Callable[[], asyncio.AbstractEventLoop | None]


class LoopSide:
    """One task on an event loop that does for a thread what has to be awaited. Begins with the first call."""

    __slots__ = ("_find_loop", "_jobs", "_loop")

    def __init__(self, find_loop: Loops) -> None:
        """Take how to find the application's loop; without one, the process's loop for threads is used."""
        self._find_loop = find_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], Future[Any]] | None] = asyncio.Queue()

    def run(self, job: Callable[[], Awaitable[Any]]) -> Any:
        """Await `job()` in the task; blocks until it is done."""
        loop = self._loop
        if loop is None:
            loop = self._find_loop()
            if loop is None or not loop.is_running():
                loop = process_loop()
            self._loop = loop
            asyncio.run_coroutine_threadsafe(self._serve(), loop)
        done: Future[Any] = Future()
        loop.call_soon_threadsafe(self._jobs.put_nowait, (job, done))
        return done.result()

    def close(self) -> None:
        """Let the task end; nothing happens if none began."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)

    async def _serve(self) -> None:
        while (entry := await self._jobs.get()) is not None:
            job, done = entry
            try:
                done.set_result(await job())
            except BaseException as error:  # it goes to the thread that waits
                done.set_exception(error)
                if isinstance(error, asyncio.CancelledError):
                    raise


class BlockingResolver:
    """Resolves dependencies in the calling thread; what they open goes onto `stack`."""

    __slots__ = ("_cache", "_loop_side", "_scope", "_stack")

    def __init__(self, scope: AttemptScope, stack: ExitStack[bool], find_loop: Loops) -> None:
        """Begin with an empty cache."""
        self._scope = scope
        self._stack = stack
        self._cache: dict[Callable[..., Any], Any] = {}
        self._loop_side = LoopSide(find_loop)
        stack.callback(self._loop_side.close)

    def arguments(self, arguments: Iterable[Argument]) -> dict[str, Any]:
        """Give the values for a call, in the order of its parameters.

        Raises:
            UsageError: A value that no attempt has is asked for.
        """
        found: dict[str, Any] = {}
        for each in arguments:
            if each.source is Source.NODE and each.node is not None:
                found[each.name] = self._resolve(each.node)
            else:
                found[each.name] = find_value(each, self._scope)
        return found

    def _resolve(self, asked: Node) -> Any:
        if asked.use_cache and asked.call in self._cache:
            return self._cache[asked.call]
        node = overridden(asked, self._scope)
        value = self._call(node, self.arguments(node.arguments))
        self._cache.setdefault(asked.call, value)
        return value

    def _call(self, node: Node, arguments: dict[str, Any]) -> Any:
        match node.kind:
            case CallKind.PLAIN:
                return node.call(**arguments)
            case CallKind.COROUTINE:
                return self._loop_side.run(lambda: node.call(**arguments))
            case CallKind.GENERATOR:
                return self._stack.enter_context(contextmanager(node.call)(**arguments))
            case CallKind.ASYNC_GENERATOR:
                return self._stack.enter_context(_OnLoop(asynccontextmanager(node.call)(**arguments), self._loop_side))
            case _:
                assert_never(node.kind)


class _OnLoop:
    """Enters and leaves an asynchronous context manager from a thread."""

    __slots__ = ("_loop_side", "_manager")

    def __init__(self, manager: AbstractAsyncContextManager[Any], loop_side: LoopSide) -> None:
        self._manager = manager
        self._loop_side = loop_side

    def __enter__(self) -> Any:
        return self._loop_side.run(self._manager.__aenter__)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return bool(self._loop_side.run(lambda: self._manager.__aexit__(kind, error, trace)))


def run_blocking(
    function: Callable[..., Any], arguments: tuple[Argument, ...], scope: AttemptScope, find_loop: Loops
) -> Any:
    """Call `function` with its dependencies, and close them afterwards; the rules are those of `resolver`."""
    raised: BaseException | None = None
    result: Any = None
    stack: ExitStack[bool] = ExitStack()
    try:
        with stack:
            try:
                result = function(**BlockingResolver(scope, stack, find_loop).arguments(arguments))
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
