"""Waiting in an `async def` handler, on the event loop of the app.

Owns the execution of steps and the waiting of a handler that has one task. With one task nothing is
scheduled: an await asks the machine, and the task itself executes the step or reads the connection.
As soon as the handler makes a second task, `durably.authoring.turns` takes over the waiting.

Rules
1. A step that the only task waits for runs in that task. Any other step gets a task of its own, and so does
   one that is a plain function: its thread goes on when the task that waits for it is cancelled.
2. Nothing is written or read while the handler's code runs; output goes out before each wait.
3. The connection is read in the background from the first moment the handler waits for anything that
   is not the connection itself, so that a cancellation or a lost connection is seen at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from durably.authoring.current import in_step
from durably.authoring.drivers import AsyncChannel, Disconnected
from durably.authoring.futures import DurableFuture, RunFuture
from durably.authoring.runs import StepMachine, is_coroutine_action, propose_failure, written
from durably.authoring.step_managers import ManagedFunction
from durably.authoring.step_threads import execute_in_thread
from durably.authoring.wait_guards import wait_guard
from durably.errors import (
    InvocationCancelledError,
    ProtocolError,
    SdkInternalBaseException,
    SdkInternalException,
    SuspendedException,
    UsageError,
)
from durably.machine import Failure, Machine, Progress

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = ["AsyncDriver"]

GeneratorFunctionT = TypeVar("GeneratorFunctionT", bound="Callable[..., Generator[Any, Any, None]]")

_READY, _WAIT, _EXECUTE_RUN = Progress.READY, Progress.WAIT, Progress.EXECUTE_RUN


def _may_wait(function: GeneratorFunctionT) -> GeneratorFunctionT:
    """Let a generator function wait for coroutines with `yield from`, as `types.coroutine` does.

    That spares a coroutine's `__await__` object and the exception that ends it, at each wait of each step.
    """
    return cast("GeneratorFunctionT", coroutine(function))


class AsyncDriver:
    """Waits for one attempt on an event loop.

    Attributes:
        main: The task that runs the handler.
        aborting: Why the handler is being unwound from outside, or None.
        step_cancelled: Whether the step in the main task is being cancelled.
        cancelled: Whether a cancellation of the invocation has been delivered to this attempt.
    """

    __slots__ = (
        "_context",
        "_is_abort_over",
        "_is_in_step",
        "_machine",
        "_run_tasks",
        "_step_machine",
        "aborting",
        "cancelled",
        "channel",
        "main",
        "runs",
        "step_cancelled",
    )

    def __init__(self, context: Context, machine: Machine, channel: AsyncChannel, main: asyncio.Task[Any]) -> None:
        """Wait for `context` in the task `main`."""
        self._context = context
        self._machine = machine
        self.channel: AsyncChannel = channel
        self.main: asyncio.Task[Any] = main
        self.aborting: BaseException | None = None
        self.step_cancelled: bool = False
        self.cancelled: bool = False
        self._is_abort_over = False
        self._is_in_step = False
        self._step_machine: StepMachine | None = None
        self.runs: dict[int, RunFuture[Any]] = {}
        self._run_tasks: set[asyncio.Task[None]] | None = None
        channel.on_input = self._on_input

    def wait_blocking(self, future: DurableFuture[Any]) -> None:
        """Refuse: blocking here would block the event loop.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{self._context.describe()}: result() was called in an async def handler.",
            hint="Await the future instead.",
        )

    # The only task

    @_may_wait
    def wait_for_one(self, future: DurableFuture[Any], progress: Progress) -> Generator[Any, Any, None]:
        """Wait in the only task for a future with a notification of its own."""
        context, machine, handle = self._context, self._machine, future.handle
        while True:
            if progress is _WAIT:
                if (guard := wait_guard.get()) is not None:
                    guard.release()
                try:
                    yield from self.channel.exchange()  # type: ignore[misc]
                except BaseException as error:
                    raise self._unwinding(error) from None
            elif progress is _EXECUTE_RUN:
                run = self.runs.pop(machine.run_to_execute)
                if is_coroutine_action(run.action):
                    yield from self._execute_here(run)
                else:
                    self.start_run(run)
            elif progress is _READY:
                future.settle(machine)
                if context.to_decode:
                    yield from self.decode_pending()  # type: ignore[misc]
                return
            else:
                raise self.signal_of(progress)
            if context.ended is not None:
                raise context.end(context.ended)
            try:
                progress = machine.await_one(handle)
            except ProtocolError as error:
                raise context.broken(error) from error

    @_may_wait
    def wait(self, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Wait in the only task until `future`, which is made of others, is settled."""
        context, machine = self._context, self._machine
        while True:
            if context.ended is not None:
                raise context.end(context.ended)
            if context.to_decode:
                yield from self.decode_pending()  # type: ignore[misc]
            if future.poll():
                return
            if context.to_decode:
                continue
            try:
                progress = machine.progress(future.pending_tree())
            except ProtocolError as error:
                raise context.broken(error) from error
            if progress is _WAIT:
                if (guard := wait_guard.get()) is not None:
                    guard.release()
                try:
                    yield from self.channel.exchange()  # type: ignore[misc]
                except BaseException as error:
                    raise self._unwinding(error) from None
            elif progress is _EXECUTE_RUN:
                self.start_run(self.runs.pop(machine.run_to_execute))
            elif progress is not _READY:
                raise self.signal_of(progress)

    def _unwinding(self, error: BaseException) -> BaseException:
        """Give what the handler is unwound with because of `error`, and let every further operation raise."""
        if isinstance(error, ProtocolError):
            return self._context.broken(error)
        if self.channel.is_lost:
            self._context.lose(self._machine)
        return error

    def signal_of(self, progress: Progress) -> BaseException:
        """Give what CANCELLED or SUSPENDED raise in the handler."""
        if progress is Progress.CANCELLED:
            self.cancelled = True
            for task in self.run_tasks():
                task.cancel()
            return InvocationCancelledError()
        return self._context.end(SuspendedException())

    async def decode_pending(self) -> None:
        """Decode the values that the journal value codec has to see first."""
        context = self._context
        codec, pending = context.codec, context.to_decode
        assert codec is not None
        assert pending is not None
        while pending:
            future, payload, decode = pending[0]
            try:
                future.set_value(decode(await codec.decode(payload)))
            except Exception as error:
                future.set_error(error)
            del pending[0]  # not before: who is cancelled while decoding leaves it for the next wait

    # Steps

    @_may_wait
    def _execute_here(self, run: RunFuture[Any]) -> Generator[Any, Any, None]:
        """Execute the step in the task that waits for it."""
        context = self._context
        machine = context.machine
        step_machine: Any = self._step_machine  # not a machine; that is what it is there for
        if step_machine is None:
            step_machine = self._step_machine = StepMachine(context, self._machine)
        step_machine.step = run.name
        context.machine = step_machine
        self._is_in_step = True
        token = in_step.set(True)
        started_s = time.monotonic()
        value: Any
        try:
            execution: Coroutine[Any, Any, Any] = run.action(*run.arguments, **run.keywords)
            value = yield from execution  # type: ignore[misc]
            payload = run.serialize(value)  # pyright: ignore[reportUnknownArgumentType] # it takes whatever it is given
            if context.codec is not None:
                payload = context.codec.encode(payload)
        except (SdkInternalBaseException, KeyboardInterrupt, GeneratorExit):
            raise
        except asyncio.CancelledError as error:
            if self.step_cancelled:
                self._propose_cancelled(run)
            elif self.main.cancelling() > 0:
                self._take_back(run)
                raise
            else:  # it waited for something that was cancelled, and was not itself
                self._propose_failure(run, error, started_s)
        except BaseException as error:
            self._propose_failure(run, error, started_s)
        else:
            try:
                self._machine.propose_run_success(run.handle, payload)
            except ProtocolError as error:
                raise context.broken(error) from error
        finally:
            self._is_in_step = False
            context.machine = machine
            in_step.reset(token)
            was_cancelled = self.step_cancelled
            if was_cancelled:
                self.step_cancelled = False
                self.main.uncancel()
        if was_cancelled:
            raise InvocationCancelledError

    def _take_back(self, run: RunFuture[Any]) -> None:
        """Let the step be executed again by whoever waits for it next: this execution was interrupted."""
        self._machine.take_run_back(run.handle)
        self.runs[run.handle] = run

    def _propose_value(self, run: RunFuture[Any], payload: bytes) -> None:
        context = self._context
        try:
            self._machine.propose_run_success(run.handle, payload)
        except ProtocolError as error:
            raise context.broken(error) from error

    def _propose_failure(self, run: RunFuture[Any], error: BaseException, started_s: float) -> None:
        duration_ms = int((time.monotonic() - started_s) * 1000)
        try:
            propose_failure(self._machine, run, self._context, error, duration_ms=duration_ms)
        except ProtocolError as broken:
            raise self._context.broken(broken) from broken
        if self._machine.is_closed:
            raise self._context.end(SdkInternalException(f"Step {run.name!r} failed; the runtime retries the attempt."))

    def _propose_cancelled(self, run: RunFuture[Any]) -> None:
        """Record that the step was aborted, so that whoever waits for it again learns the same on replay."""
        cancelled = InvocationCancelledError()
        self._machine.propose_run_failure(run.handle, Failure(cancelled.status_code, cancelled.message))

    async def _in_thread(self, run: RunFuture[Any]) -> Any:
        """Execute a plain function in a thread; wait for what it gives if that is awaitable."""
        if isinstance(run.action, ManagedFunction):
            return await run.action.in_thread(run.arguments, run.keywords)
        call = partial(copy_context().run, run.action, *run.arguments, **run.keywords)
        value = await execute_in_thread(asyncio.get_running_loop(), call)
        return await value if isawaitable(value) else value

    def start_run(self, run: RunFuture[Any]) -> None:
        """Execute the step in a task of its own, which wakes whoever waits."""
        variables = copy_context() if run.variables is None else run.variables
        variables.run(in_step.set, True)
        # Not with the loop's factory: an eager task would begin before it is known here.
        task = asyncio.Task(self._execute_aside(run), loop=self.main.get_loop(), context=variables)
        if not self._run_tasks:
            self._run_tasks = set()
            self._context.machine = cast("Machine", StepMachine(self._context, self._machine, is_shared=True))
        self._run_tasks.add(task)
        task.add_done_callback(self._run_done)
        self.channel.read_ahead()

    def _run_done(self, task: asyncio.Task[None]) -> None:
        assert self._run_tasks is not None
        self._run_tasks.discard(task)
        if not self._run_tasks:
            self._context.machine = self._machine

    async def _execute_aside(self, run: RunFuture[Any]) -> None:
        context = self._context
        started_s = time.monotonic()
        try:
            if is_coroutine_action(run.action):
                value = await run.action(*run.arguments, **run.keywords)
            else:
                value = await self._in_thread(run)
            payload = written(value, run, context)
        except BaseException as error:
            if context.ended is not None:
                raise
            with suppress(SdkInternalException):  # whoever waits is woken, and raises it
                if self.cancelled and isinstance(error, asyncio.CancelledError):
                    self._propose_cancelled(run)
                else:
                    self._propose_failure(run, error, started_s)
        else:
            if context.ended is None:
                self._propose_value(run, payload)
        self.channel.wake()
        if context.turns is not None:
            context.turns.resume()

    # From outside

    def _on_input(self) -> None:
        """Look whether what arrived concerns a handler that waits for something else."""
        context = self._context
        if self.channel.is_lost:
            self._context.lose(self._machine)
            self.abort(Disconnected())
        elif context.ended is not None:
            return
        elif self._machine.is_closed:
            self.abort(context.end(SdkInternalException("The runtime broke the protocol; the attempt has failed.")))
        elif context.turns is not None:
            context.turns.resume()
        elif self._is_in_step and not self.step_cancelled:
            self._cancel_step_if_asked()

    def _cancel_step_if_asked(self) -> None:
        """Abort the step in the main task once the cancellation of the invocation has been delivered."""
        try:
            progress = self._machine.progress(self._machine.run_to_execute)
        except ProtocolError as error:
            self.abort(self._context.broken(error))
            return
        if progress is Progress.CANCELLED:
            self.step_cancelled = True
            self.main.cancel()

    def abort(self, reason: BaseException) -> None:
        """Unwind the handler from outside, at whatever it waits for."""
        if self.aborting is None:
            self.aborting = reason
            self.main.cancel()

    def take_back_abort(self) -> int:
        """Take back the cancellation of the main task that `abort` made; give how many others there are.

        A handler that ends in another way leaves it behind: Python 3.13's task groups even repeat it.
        """
        if self.aborting is None or self._is_abort_over:
            return self.main.cancelling()
        self._is_abort_over = True
        return self.main.uncancel()

    def suspend(self) -> None:
        """Unwind a handler with several tasks, because the machine has suspended."""
        self.abort(self._context.end(SuspendedException()))

    # For the host

    def run_tasks(self) -> list[asyncio.Task[None]]:
        """Give the tasks of steps that still execute."""
        return list(self._run_tasks or ())

    @property
    def has_tasks(self) -> bool:
        """Whether there are tasks to be looked at when the attempt ends."""
        return bool(self._run_tasks) or self._context.turns is not None

    def tasks_to_cancel(self) -> list[asyncio.Task[Any]]:
        """Give the tasks that end with the attempt.

        Steps that execute, always: nobody will take their results. The handler's other tasks when it was
        unwound, and those that wait for durable operations when it ended by itself: they wait in vain.
        """
        tasks: list[asyncio.Task[Any]] = [*self.run_tasks()]
        turns = self._context.turns
        if turns is not None:
            if self._context.ended is not None or self.aborting is not None:
                tasks.extend(turns.tasks)
            turns.release()
        return tasks

    def describe(self) -> str:
        """Name the handler and the invocation; see `durably.hosting.watchdog.Watched`."""
        return self._context.describe()

    def owns(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether `task` runs the handler, or a part of it; see `durably.hosting.watchdog.Watched`."""
        turns = self._context.turns
        return (
            task is self.main
            or (self._run_tasks is not None and task in self._run_tasks)
            or (turns is not None and task in turns.tasks)
        )
