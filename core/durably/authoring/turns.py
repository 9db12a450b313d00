"""Concurrency that replays: the tasks of one handler take turns in an order the journal fixes.

Owns the waiting of handlers that run more than one task with plain asyncio, and the task factory that
tells which tasks belong to which handler.

Rules
1. A durable await that is not settled waits until every task of the handler is blocked.
2. Then the oldest undelivered notification is delivered, and only that one; the waits it settles go
   on, in the order in which they began.
3. So which tasks wait, and what arrives next, are the same on every attempt, and with them the order
   of everything the handler does.
4. A task that is blocked on something else (a socket, a timer of the loop) does not hold up the others.
   When such a wait ends it runs in an order that no journal knows: a warning is given, once.
5. A task that never blocks (it polls with `sleep(0)`) holds the others up for a bounded number of turns.

How it is known that all are blocked: a task is blocked when the future it waits for is not done. One
that a finished task is about to wake through other futures (those of `gather`, `wait` or `shield`)
looks blocked for a few passes of the loop; so everything has to look blocked for several passes.

The task factory is installed on the app's event loop when the first handler runs there. It creates
tasks with the factory that was there before, and only notes those that a handler makes.

Source: ours, docs/concepts/concurrency.md.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Coroutine, Generator, Sequence
from contextvars import Context as Variables
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from durably.authoring.current import current_attempt, in_step
from durably.authoring.futures import DurableFuture
from durably.authoring.replay_logging import attempt_logger
from durably.errors import ProtocolError, SdkInternalException
from durably.machine import AwaitTree, Combinator, Combined, Progress

if TYPE_CHECKING:
    from durably.authoring.async_driver import AsyncDriver
    from durably.authoring.contexts import Context

__all__ = ["Turns", "note_tasks_of_handlers"]

_QUIET_PASSES: Final = 5  # passes of the loop that all tasks must look blocked; see the module's text
_BUSY_PASSES_LIMIT: Final = 1000  # passes that a task which never blocks may hold up the others
_AS_COMPLETED_DEPTH: Final = 5  # frames between the making of a task and `as_completed`
_AS_COMPLETED: Final = frozenset(
    {
        code
        for function in (asyncio.as_completed, getattr(asyncio.as_completed, "__init__", None))
        if (code := getattr(function, "__code__", None)) is not None
    }
    | {
        method.__code__
        for cls in (getattr(asyncio.tasks, "_AsCompletedIterator", None),)
        if cls is not None and isinstance(method := cls.__init__, FunctionType)
    }
)
"""Code of `asyncio.as_completed` in the Pythons that we support: a function, since 3.13 one that makes an iterator."""


class Waiter:
    """One durable await of one task."""

    __slots__ = ("durable", "wake_up")

    def __init__(self, durable: DurableFuture[Any], wake_up: asyncio.Future[None]) -> None:
        """Wait for `durable`."""
        self.durable = durable
        self.wake_up = wake_up


class Turns:
    """Lets the tasks of one handler take turns."""

    __slots__ = (
        "_busy_passes",
        "_context",
        "_decoding",
        "_driver",
        "_loop",
        "_quiet_passes",
        "_resting",
        "_scheduled",
        "_tasks",
        "_variables",
        "_waiters",
        "_warned",
    )

    def __init__(self, driver: AsyncDriver, context: Context) -> None:
        """Take over the waiting of `context`."""
        self._driver = driver
        self._context = context
        self._loop = driver.main.get_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiters: list[Waiter] = []
        self._variables = Variables()  # our own callbacks carry none of the handler's context variables
        self._scheduled = False
        self._decoding = False
        self._resting = False
        self._warned = False
        self._quiet_passes = 0
        self._busy_passes = 0

    # Tasks

    def add(self, task: asyncio.Task[Any]) -> None:
        """Count `task` among the handler's."""
        self._tasks.add(task)
        task.add_done_callback(self._remove, context=self._variables)

    def _remove(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._context.ended is not None and not task.cancelled():
            task.exception()  # the signal that unwound it needs no "was never retrieved" in the log
        if self._waiters:
            self._schedule()
        else:
            self._retire()

    def _retire(self) -> None:
        """Hand over to the single-task driver when only the main task is left."""
        if not self._tasks and not self._waiters and self._context.turns is self:
            self._context.turns = None

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The handler's tasks that are not done, without the main one."""
        return [task for task in self._tasks if not task.done()]

    # Waits

    def wait(self, durable: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Wait until `durable` is settled; the other tasks run meanwhile."""
        context = self._context
        if context.ended is not None:
            raise context.end(context.ended)
        if durable.poll():
            return
        if self._resting:
            self._warn_of_outside_order()
        waiter = Waiter(durable, self._loop.create_future())
        self._waiters.append(waiter)
        self._schedule()
        try:
            yield from waiter.wake_up
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._retire()

    def resume(self) -> None:
        """Look again: input has arrived, or a step has ended. Everything was blocked, and is checked again."""
        if self._waiters:
            self._quiet_passes = _QUIET_PASSES
            self._schedule()

    def release(self) -> None:
        """Raise in every durable await that is left, because the attempt is over."""
        context = self._context
        if self._waiters:
            self._wake_all_with(context.end(SdkInternalException("The attempt is over.")))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pass, context=self._variables)

    def _pass(self) -> None:
        """One pass of the loop: deliver if all tasks have been blocked long enough."""
        self._scheduled = False
        if not self._waiters:
            return
        if self._can_any_run():
            self._quiet_passes = 0
            self._busy_passes += 1
            if self._busy_passes < _BUSY_PASSES_LIMIT:
                self._schedule()
                return
            self._warn_of_outside_order()
        elif self._quiet_passes < _QUIET_PASSES:
            self._quiet_passes += 1
            self._schedule()
            return
        self._quiet_passes = self._busy_passes = 0
        try:
            self._deliver()
        except ProtocolError as error:
            self._driver.abort(self._context.broken(error))

    def _can_any_run(self) -> bool:
        """Tell whether some task is about to run."""
        if _is_runnable(self._driver.main):
            return True
        return any(_is_runnable(task) for task in self._tasks)

    # Deliveries

    def _deliver(self) -> None:
        """Deliver one notification, or wait for one."""
        context, driver = self._context, self._driver
        machine = context.machine
        while True:
            if context.ended is not None:
                self._wake_all_with(context.ended)
                return
            if context.to_decode:
                self._decode()
                return
            if self._wake_settled():
                return
            progress = machine.progress(self._tree())
            if progress is Progress.WAIT:
                self._resting = True
                driver.channel.read_ahead()
                return
            if progress is Progress.EXECUTE_RUN:
                driver.start_run(driver.runs.pop(machine.run_to_execute))
            elif progress is not Progress.READY:
                self._wake_all_with(driver.signal_of(progress))
                if progress is Progress.SUSPENDED:
                    driver.suspend()
                return

    def _tree(self) -> AwaitTree:
        trees = tuple(waiter.durable.pending_tree() for waiter in self._waiters)
        return trees[0] if len(trees) == 1 else Combined(Combinator.FIRST_COMPLETED, trees)

    def _wake_settled(self) -> bool:
        """Wake the waits that are settled, oldest first; tell whether there was one."""
        settled = [waiter for waiter in self._waiters if waiter.durable.poll()]
        for waiter in settled:
            self._waiters.remove(waiter)
            if not waiter.wake_up.done():
                waiter.wake_up.set_result(None)
        if settled:
            self._resting = False
            if self._waiters:
                self._schedule()
        return bool(settled)

    def _wake_all_with(self, signal: BaseException) -> None:
        """Raise `signal` from every durable await, oldest first."""
        self._resting = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.wake_up.done():
                waiter.wake_up.set_exception(_copy_of(signal))

    def _decode(self) -> None:
        """Let the journal value codec work, then look again."""
        if self._decoding:
            return
        self._decoding = True
        task = self._loop.create_task(self._driver.decode_pending(), context=self._variables.copy())
        task.add_done_callback(self._decoded, context=self._variables)

    def _decoded(self, task: asyncio.Task[None]) -> None:
        self._decoding = False
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._wake_all_with(error)
        else:
            self.resume()

    def _warn_of_outside_order(self) -> None:
        if self._warned:
            return
        self._warned = True
        attempt_logger.warning(
            "%s: a task of the handler goes on after waiting for something that is not durable, while other tasks wait"
            " for durable operations. The order of what they do next is not recorded and may differ on replay. Wait"
            " inside ctx.run, or for ctx.sleep instead of asyncio.sleep.",
            self._context.describe(),
        )


def _is_runnable(task: asyncio.Task[Any]) -> bool:
    if task.done():
        return False
    waiting_for = task._fut_waiter  # type: ignore[attr-defined]  # noqa: SLF001  # pyright: ignore
    return waiting_for is None or waiting_for.done()


def _copy_of(signal: BaseException) -> BaseException:
    """Give an exception of its own to each task, so that their tracebacks do not mix."""
    copy = type(signal).__new__(type(signal), *signal.args)
    copy.args = signal.args
    copy.__dict__.update(signal.__dict__)
    return copy


class HandlerTaskFactory:
    """Creates tasks as before, and notes those that handlers make."""

    __slots__ = ("_created", "_previous")

    def __init__(self, previous: Any) -> None:
        """Create with `previous`, or as asyncio does when there is none."""
        self._previous = previous
        self._created: dict[int, tuple[Any, asyncio.Future[Any]]] = {}

    def __call__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Future[Any]:
        """Create a task for `coroutine`."""
        context = current_attempt.get()
        if context is None or in_step.get() or context.ended is not None or context.machine.is_closed:
            return self._create(loop, coroutine, options)
        variables = options.get("context")
        if variables is not None and (variables.get(current_attempt) is not context or variables.get(in_step, False)):
            return self._create(loop, coroutine, options)
        if self._created:
            created = self._created.pop(id(coroutine), None)
            if created is not None and created[0] is coroutine:
                return created[1]
        for other in _waits_of_as_completed(coroutine):
            if inspect.iscoroutine(other) and other is not coroutine:
                self._created[id(other)] = (other, self._create_noted(loop, other, options, context))
            elif other is coroutine:
                own = self._create_noted(loop, coroutine, options, context)
                self._created[id(coroutine)] = (coroutine, own)
        created = self._created.pop(id(coroutine), None)
        return created[1] if created is not None else self._create_noted(loop, coroutine, options, context)

    def _create(self, loop: asyncio.AbstractEventLoop, coroutine: Any, options: dict[str, Any]) -> asyncio.Future[Any]:
        if self._previous is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        task: asyncio.Future[Any] = self._previous(loop, coroutine, **options)
        return task

    def _create_noted(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, options: dict[str, Any], context: Context
    ) -> asyncio.Future[Any]:
        task = self._create(loop, coroutine, options)
        if isinstance(task, asyncio.Task) and not task.done():
            _note(context, task)
        return task


def _waits_of_as_completed(coroutine: Any) -> Sequence[Any]:
    """Give everything that `asyncio.as_completed` was given, if it is what makes a task of `coroutine`.

    It goes through a set, whose order differs from attempt to attempt; the list that it was given does not.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - nothing else tells who makes a task
    for _ in range(_AS_COMPLETED_DEPTH):
        if frame.f_code in _AS_COMPLETED:
            waits = frame.f_locals.get("fs", frame.f_locals.get("aws"))
            is_ordered = isinstance(waits, (list, tuple))
            return waits if is_ordered and any(each is coroutine for each in waits) else ()
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ()


def _note(context: Context, task: asyncio.Task[Any]) -> None:
    """Count `task` among those of the attempt."""
    turns = context.turns
    if turns is None:
        turns = context.turns = Turns(context.driver, context)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    turns.add(task)


def note_tasks_of_handlers(loop: asyncio.AbstractEventLoop) -> None:
    """Install the task factory on `loop`, once."""
    previous = loop.get_task_factory()
    if type(previous) is not HandlerTaskFactory:
        loop.set_task_factory(HandlerTaskFactory(previous))
