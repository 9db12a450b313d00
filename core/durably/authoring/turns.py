"""Concurrency that replays: the tasks of one handler take turns in an order the journal fixes.

Owns the waiting of handlers that run more than one task with plain asyncio.
`durably.authoring.tasks` tells which tasks those are.

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

Source: ours, docs/concepts/concurrency.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextvars import Context as Variables
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from durably.authoring.futures import DurableFuture
from durably.authoring.replay_logging import attempt_logger
from durably.authoring.wait_guards import wait_guard
from durably.errors import DurablyError, ProtocolError, SdkInternalBaseException, SdkInternalException
from durably.machine import AwaitTree, Combinator, Combined, Progress

if TYPE_CHECKING:
    from durably.authoring.async_driver import AsyncDriver
    from durably.authoring.contexts import Context

__all__ = ["Turns", "Waiter", "waited_for_by"]

_QUIET_PASSES: Final = 5  # passes of the loop that all tasks must look blocked; see the module's text
_BUSY_PASSES_LIMIT: Final = 1000  # passes that a task which never blocks may hold up the others


class Waiter:
    """One durable await of one task."""

    __slots__ = ("durable", "wake_up")

    def __init__(self, durable: DurableFuture[Any], wake_up: asyncio.Future[None]) -> None:
        """Wait for `durable`."""
        self.durable: DurableFuture[Any] = durable
        self.wake_up: asyncio.Future[None] = wake_up


class Turns:
    """Lets the tasks of one handler take turns."""

    __slots__ = (
        "_busy_passes",
        "_context",
        "_decoding",
        "_driver",
        "_guard",
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
        self._guard = wait_guard.get()
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
            self.retire()

    def retire(self) -> None:
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
        for run in self._driver.runs.values():
            if run.variables is None:
                run.variables = copy_context()  # steps start from a callback of ours, which has none of them
        waiter = Waiter(durable, self._loop.create_future())
        self._waiters.append(waiter)
        self._schedule()
        try:
            yield from waiter.wake_up
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self.retire()

    def resume(self) -> None:
        """Look again: input has arrived, or a step has ended."""
        if self._waiters:
            if self._resting:  # all have been blocked for long enough already
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
        except Exception as error:  # of a combination that is too deep, for example
            self._wake_all_with(error)

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
            if context.to_decode:
                continue
            progress = machine.progress(self._tree())
            if progress is Progress.WAIT:
                self._resting = True
                if self._guard is not None:
                    self._guard.release()
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
                waiter.wake_up.set_exception(_copy_of(signal) if _is_ours(signal) else signal)

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


def waited_for_by(task: asyncio.Task[Any]) -> asyncio.Future[Any] | None:
    """Give the future that `task` waits for; tasks show it to debuggers."""
    return cast("asyncio.Future[Any] | None", getattr(task, "_fut_waiter", None))


def _is_runnable(task: asyncio.Task[Any]) -> bool:
    if task.done():
        return False
    waiting_for: asyncio.Future[Any] | None = waited_for_by(task)
    return waiting_for is None or waiting_for.done()


def _is_ours(error: BaseException) -> bool:
    return isinstance(error, (DurablyError, SdkInternalBaseException))


def _copy_of(signal: BaseException) -> BaseException:
    """Give an exception of its own to each task, so that their tracebacks do not mix."""
    copy = type(signal).__new__(type(signal), *signal.args)
    copy.args = signal.args
    copy.__dict__.update(signal.__dict__)
    return copy
