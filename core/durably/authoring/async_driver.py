"""Waiting in an `async def` handler, on the event loop of the app.

Owns the execution of steps and the waiting of a handler that has one task. With one task nothing is
scheduled: an await asks the machine, and the task itself executes the step or reads the connection.
As soon as the handler makes a second task, `durably.authoring.turns` takes over the waiting.

Rules
1. A step that the only task waits for runs in that task. Any other step gets a task of its own.
2. Nothing is written or read while the handler's code runs; output goes out before each wait.
3. The connection is read in the background from the first moment the handler waits for anything that
   is not the connection itself, so that a cancellation or a lost connection is seen at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

from durably.authoring.current import in_step
from durably.authoring.drivers import AsyncChannel, Disconnected
from durably.authoring.futures import DurableFuture, RunFuture
from durably.authoring.runs import is_coroutine_action, propose_failure
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

__all__ = ["AsyncDriver", "StepMachine"]

_READY, _WAIT, _EXECUTE_RUN = Progress.READY, Progress.WAIT, Progress.EXECUTE_RUN


class StepMachine:
    """Stands in for the machine while the only task executes a step: steps must not use the context."""

    __slots__ = ("_context", "step")

    def __init__(self, context: Context) -> None:
        """Stand in for `context`'s machine; `step` is the name of the step that runs."""
        self._context = context
        self.step: str = ""

    def __getattr__(self, name: str) -> Any:
        """Refuse."""
        raise UsageError(
            f"{self._context.describe()}: the action of step {self.step!r} used the handler's context.",
            hint="Use the context before or after the step, and pass values into the action.",
        )


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

    def wait_for_one(self, future: DurableFuture[Any], progress: Progress) -> Generator[Any, Any, None]:
        """Wait in the only task for a future with a notification of its own."""
        context, machine, handle = self._context, self._machine, future.handle
        while True:
            if progress is _WAIT:
                yield from self.channel.exchange().__await__()
            elif progress is _EXECUTE_RUN:
                run = self.runs.pop(machine.run_to_execute)
                yield from self._execute_here(run)
            elif progress is _READY:
                future.settle(machine)
                if context.to_decode:
                    yield from self.decode_pending().__await__()
                return
            else:
                raise self.signal_of(progress)
            if context.ended is not None:
                raise context.end(context.ended)
            try:
                progress = machine.await_one(handle)
            except ProtocolError as error:
                raise context.broken(error) from error

    def wait(self, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Wait in the only task until `future`, which is made of others, is settled."""
        context, machine = self._context, self._machine
        while True:
            if context.ended is not None:
                raise context.end(context.ended)
            if context.to_decode:
                yield from self.decode_pending().__await__()
            if future.poll():
                return
            if context.to_decode:
                continue
            try:
                progress = machine.progress(future.pending_tree())
            except ProtocolError as error:
                raise context.broken(error) from error
            if progress is _WAIT:
                yield from self.channel.exchange().__await__()
            elif progress is _EXECUTE_RUN:
                self.start_run(self.runs.pop(machine.run_to_execute))
            elif progress is not _READY:
                raise self.signal_of(progress)

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

    def _execute_here(self, run: RunFuture[Any]) -> Generator[Any, Any, None]:
        """Execute the step in the task that waits for it."""
        context, machine, action = self._context, self._machine, run.action
        step_machine = self._step_machine
        if step_machine is None:
            step_machine = self._step_machine = StepMachine(context)
        step_machine.step = run.name
        context.machine = cast("Machine", step_machine)
        self._is_in_step = True
        token = in_step.set(True)
        started_s = time.monotonic()
        try:
            if is_coroutine_action(action):
                coroutine: Coroutine[Any, Any, Any] = action(*run.arguments, **run.keywords)
            else:
                coroutine = self._in_thread(run)
            value = yield from coroutine.__await__()
            payload = run.serialize(value)
        except SdkInternalBaseException:
            raise
        except Exception as error:
            self._propose_failure(run, error, started_s)
        except asyncio.CancelledError:
            if not self.step_cancelled:
                raise
            self._propose_cancelled(run)
        else:
            self._propose_value(run, payload)
        finally:
            self._is_in_step = False
            context.machine = machine
            in_step.reset(token)
        if self.step_cancelled:
            self.step_cancelled = False
            self.main.uncancel()
            raise InvocationCancelledError

    def _propose_value(self, run: RunFuture[Any], payload: bytes) -> None:
        context = self._context
        try:
            self._machine.propose_run_success(
                run.step, payload if context.codec is None else context.codec.encode(payload)
            )
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
        self._machine.propose_run_failure(run.step, Failure(cancelled.status_code, cancelled.message))

    async def _in_thread(self, run: RunFuture[Any]) -> Any:
        """Execute a plain function in a thread; wait for what it gives if that is awaitable."""
        call = partial(copy_context().run, run.action, *run.arguments, **run.keywords)
        value = await asyncio.get_running_loop().run_in_executor(None, call)
        return await value if isawaitable(value) else value

    def start_run(self, run: RunFuture[Any]) -> None:
        """Execute the step in a task of its own, which wakes whoever waits."""
        variables = copy_context()
        variables.run(in_step.set, True)
        task = asyncio.get_running_loop().create_task(self._execute_aside(run), context=variables)
        if self._run_tasks is None:
            self._run_tasks = set()
        self._run_tasks.add(task)
        task.add_done_callback(self._run_tasks.discard)
        self.channel.read_ahead()

    async def _execute_aside(self, run: RunFuture[Any]) -> None:
        context = self._context
        started_s = time.monotonic()
        try:
            if is_coroutine_action(run.action):
                value = await run.action(*run.arguments, **run.keywords)
            else:
                value = await self._in_thread(run)
            payload = run.serialize(value)
        except asyncio.CancelledError:
            if not self.cancelled or context.ended is not None:
                raise
            self._propose_cancelled(run)
        except Exception as error:
            if context.ended is None:
                with suppress(SdkInternalException):  # whoever waits is woken, and raises it
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
