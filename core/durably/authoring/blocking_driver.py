"""Waiting in a `def` handler, on the thread that runs it.

Owns the execution of steps and the waiting of a handler on a thread. The thread that runs the handler
is the only one that touches the machine. A single step runs on it too; several at once run on helper
threads, which hand their outcome over and wake it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from durably.authoring.codec import decode_blocking
from durably.authoring.combined import CombinedFuture, MappedFuture
from durably.authoring.current import in_step
from durably.authoring.drivers import BlockingIO, Disconnected
from durably.authoring.futures import DurableFuture, RunFuture
from durably.authoring.runs import StepMachine, propose_failure, propose_value
from durably.authoring.wait_guards import wait_guard
from durably.errors import (
    InvocationCancelledError,
    ProtocolError,
    SdkInternalBaseException,
    SdkInternalException,
    SuspendedException,
    UsageError,
)
from durably.machine import Machine, Progress

if TYPE_CHECKING:
    from durably.authoring.contexts import Context

__all__ = ["BlockingDriver"]


Proposal: TypeAlias = "Callable[[Machine, Context], None]"
"""Proposes the outcome of an executed step."""


class BlockingDriver:
    """Waits for one attempt on a thread."""

    __slots__ = ("_context", "_done", "_executing", "_io", "_machine", "runs")

    def __init__(self, context: Context, machine: Machine, io: BlockingIO) -> None:
        """Wait for `context` on the calling thread."""
        self._context = context
        self._machine = machine
        self._io = io
        self.runs: dict[int, RunFuture[Any]] = {}
        self._done: deque[Callable[[], None]] = deque()
        self._executing = 0

    def wait_for_one(self, future: DurableFuture[Any], progress: Progress) -> Generator[Any, Any, None]:
        """Refuse: there is no event loop.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{self._context.describe()}: a durable future was awaited in a def handler.",
            hint="Call its result() instead, or make the handler async def.",
        )

    def wait(self, future: DurableFuture[Any]) -> Generator[Any, Any, None]:
        """Refuse: there is no event loop.

        Raises:
            UsageError: Always.
        """
        return self.wait_for_one(future, Progress.WAIT)

    def wait_blocking(self, future: DurableFuture[Any]) -> None:
        """Block until `future` is settled."""
        context, machine = self._context, self._machine
        guard = wait_guard.get()
        while True:
            if context.ended is not None:
                raise context.end(context.ended)
            self._take_outcomes()
            self._decode_pending()
            if future.poll():
                return
            if context.to_decode:
                continue
            if guard is not None:
                guard.check()
            try:
                progress = machine.progress(future.pending_tree())
            except ProtocolError as error:
                raise context.broken(error) from error
            match progress:
                case Progress.WAIT:
                    if guard is not None and not self._done:
                        guard.release()
                    self._exchange()
                case Progress.EXECUTE_RUN:
                    self._execute(machine.run_to_execute, future)
                case Progress.CANCELLED:
                    raise InvocationCancelledError
                case Progress.SUSPENDED:
                    raise context.end(SuspendedException())
                case Progress.READY:
                    pass

    def _exchange(self) -> None:
        """Send what is written; then block until there is input, or a step has ended."""
        machine, io = self._machine, self._io
        self._send()
        if self._done:
            return
        try:
            data = io.receive()
        except Disconnected:
            raise self._lost() from None
        try:
            if data is None:
                machine.receive_eof()
            elif data:
                machine.receive_data(data)
        except ProtocolError as error:
            raise self._context.broken(error) from error

    def _send(self) -> None:
        output = self._machine.data_to_send()
        if output:
            try:
                self._io.send(output)
            except Disconnected:
                raise self._lost() from None

    def _lost(self) -> Disconnected:
        self._context.lose(self._machine)
        return Disconnected()

    def _execute(self, handle: int, waited_for: DurableFuture[Any]) -> None:
        """Execute a step here when nothing else can run meanwhile, else on a helper thread."""
        run = self.runs.pop(handle)
        if run is waited_for or (self._executing == 0 and not self._awaits_several(waited_for)):
            self._execute_here(run)
        else:
            if not self._executing:
                self._context.machine = cast("Machine", StepMachine(self._context, self._machine, is_shared=True))
            self._executing += 1
            self._io.submit(lambda: self._execute_aside(run))

    def _awaits_several(self, future: DurableFuture[Any]) -> bool:
        while isinstance(future, MappedFuture):
            future = future.source
        return isinstance(future, CombinedFuture)

    def _execute_here(self, run: RunFuture[Any]) -> None:
        context = self._context
        self._send()
        machine = context.machine
        step_machine = StepMachine(context, self._machine)
        step_machine.step = run.name
        context.machine = cast("Machine", step_machine)
        token = in_step.set(True)
        try:
            propose = _execute(run)
        finally:
            context.machine = machine
            in_step.reset(token)
        self._propose(run, propose)

    def _execute_aside(self, run: RunFuture[Any]) -> None:
        """Execute on a helper thread; the handler's thread proposes the outcome."""
        in_step.set(True)
        try:
            propose = _execute(run)
        except BaseException as error:
            # A helper thread that dies in silence would leave the handler waiting.
            propose = _failure_of(run, error, 0)
        self._done.append(lambda: self._propose(run, propose))
        self._io.wake()

    def _take_outcomes(self) -> None:
        while self._done:
            self._executing -= 1
            if not self._executing:
                self._context.machine = self._machine
            self._done.popleft()()

    def _propose(self, run: RunFuture[Any], propose: Proposal) -> None:
        context = self._context
        try:
            propose(self._machine, context)
        except ProtocolError as error:
            raise context.broken(error) from error
        if self._machine.is_closed:
            raise context.end(SdkInternalException(f"Step {run.name!r} failed; the runtime retries the attempt."))

    def _decode_pending(self) -> None:
        context = self._context
        pending = context.to_decode
        while pending:
            future, payload, decode = pending.pop(0)
            assert context.codec is not None
            try:
                future.set_value(decode(decode_blocking(context.codec, payload)))
            except Exception as error:
                future.set_error(error)


def _execute(run: RunFuture[Any]) -> Proposal:
    """Execute the action on this thread; give what proposes its outcome."""
    started_s = time.monotonic()
    try:
        value = run.action(*run.arguments, **run.keywords)
        if isawaitable(value):
            close = getattr(value, "close", None)
            if close is not None:
                close()
            raise UsageError(
                f"Step {run.name!r} of a def handler has an async action.",
                hint="Use a plain function, or make the handler async def.",
            )
    except (SdkInternalBaseException, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # sys.exit() in an action is a failed execution, not the end of the process
        return _failure_of(run, error, int((time.monotonic() - started_s) * 1000))
    return lambda machine, context: propose_value(machine, run, context, value)


def _failure_of(run: RunFuture[Any], error: BaseException, duration_ms: int) -> Proposal:
    return lambda machine, context: propose_failure(machine, run, context, error, duration_ms=duration_ms)
