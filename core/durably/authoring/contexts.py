"""What a handler is given: the durable operations of one attempt.

Owns the five contexts of `async def` handlers. Each operation is a system call to the machine, made
at once and in the order the handler makes it, and a future for its result. `def` handlers have the
same operations through `durably.authoring.sync_contexts`.

A context belongs to one attempt. Once that was suspended or has failed, every operation raises the
same signal again, so that a handler which swallowed it cannot write to the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload
from uuid import UUID

from durably.authoring.calls import Calls
from durably.authoring.futures import (
    DurableFuture,
    RestateDurableSleepFuture,
    RunFuture,
    closed_misuse,
)
from durably.authoring.promises import DurablePromise
from durably.authoring.replay_logging import attempt_logger
from durably.authoring.request import AttemptFinishedEvent, Request
from durably.authoring.runs import DEFAULT_RUN_OPTIONS, INFINITE, RunAction, RunOptions, retry_policy
from durably.errors import (
    ProtocolError,
    SdkInternalBaseException,
    SdkInternalException,
    SuspendedException,
    UsageError,
)
from durably.machine import Failure, IdempotentTarget, Machine, WorkflowTarget
from durably.serde import DefaultSerde, Serde, resolve_serde, return_serde

if TYPE_CHECKING:
    from durably.authoring.codec import JournalValueCodec
    from durably.authoring.drivers import Driver
    from durably.authoring.failures import FailureMap
    from durably.authoring.handlers import Handler
    from durably.authoring.turns import Turns
    from durably.machine import InvocationInput

__all__ = [
    "Context",
    "ObjectContext",
    "ObjectSharedContext",
    "WorkflowContext",
    "WorkflowSharedContext",
]

T = TypeVar("T")
ParamsT = ParamSpec("ParamsT")

_MILLISECOND = timedelta(milliseconds=1)
_CANCEL_HANDLE = -1  # built-in signal 1
_DEFAULT_SERDE: Serde[Any] = DefaultSerde()


class Context(Calls):
    """The context of a plain service's handler, and what all contexts share.

    Source: the authoring API of the Python peer; entries are those of the service protocol.
    """

    __slots__ = (
        "_finished",
        "_input",
        "_random",
        "attempt_headers",
        "codec",
        "driver",
        "ended",
        "extension_data",
        "failure_maps",
        "handler",
        "machine",
        "to_decode",
        "turns",
    )

    machine: Machine
    handler: Handler
    driver: Driver
    turns: Turns | None
    ended: SdkInternalBaseException | None
    extension_data: dict[str, Any] | None

    def __init__(
        self,
        machine: Machine,
        handler: Handler,
        invocation: InvocationInput,
        attempt_headers: dict[str, str],
        *,
        codec: JournalValueCodec | None,
        failure_maps: Sequence[FailureMap],
    ) -> None:
        """Start an attempt's context; the host sets `driver` before the handler runs."""
        self.machine = machine
        self.handler = handler
        self._input = invocation
        self.attempt_headers = attempt_headers
        self.codec = codec
        self.failure_maps = failure_maps
        self.turns = None
        self.ended = None
        self.extension_data = None
        self.to_decode: list[tuple[DurableFuture[Any], bytes, Callable[[bytes], Any]]] | None = None
        self._random: Random | None = None
        self._finished: AttemptFinishedEvent | None = None

    # The request

    def request(self) -> Request:
        """Give the request that started the invocation; a new object each time."""
        invocation = self._input
        return Request(
            id=invocation.debug_id,
            headers=dict(invocation.headers),
            attempt_headers=self.attempt_headers,
            body=invocation.body,
            attempt_finished_event=self.attempt_finished,
            scope=invocation.scope,
            limit_key=invocation.limit_key,
            idempotency_key=invocation.idempotency_key,
        )

    @property
    def attempt_finished(self) -> AttemptFinishedEvent:
        """The event that is set once this attempt is over."""
        if self._finished is None:
            self._finished = AttemptFinishedEvent()
        return self._finished

    @property
    def invocation_id(self) -> str:
        """The invocation's id, `inv_1…`."""
        return self._input.debug_id

    @property
    def input_body(self) -> bytes:
        """The input's bytes, as recorded."""
        return self._input.body

    @property
    def is_replaying(self) -> bool:
        """Whether the handler is still following recorded entries. For logging, never for decisions."""
        return self.machine.is_replaying

    # Steps

    @overload
    def run(
        self,
        name: str,
        action: Callable[..., Coroutine[Any, Any, T]],
        serde: Serde[T] = ...,
        max_attempts: int | None = None,
        max_retry_duration: timedelta | None = None,
        type_hint: type[T] | None = None,
        args: tuple[Any, ...] | None = None,
    ) -> DurableFuture[T]: ...
    @overload
    def run(
        self,
        name: str,
        action: Callable[..., T],
        serde: Serde[T] = ...,
        max_attempts: int | None = None,
        max_retry_duration: timedelta | None = None,
        type_hint: type[T] | None = None,
        args: tuple[Any, ...] | None = None,
    ) -> DurableFuture[T]: ...
    def run(
        self,
        name: str,
        action: RunAction[T],
        serde: Serde[T] = _DEFAULT_SERDE,
        max_attempts: int | None = None,
        max_retry_duration: timedelta | None = None,
        type_hint: type[T] | None = None,
        args: tuple[Any, ...] | None = None,
    ) -> DurableFuture[T]:
        """Record what `action` gives, so that it runs once. `run_typed` is the typed form.

        Args:
            name: Label of the journal entry.
            action: `async def` runs on the event loop, `def` in a thread. It must not use the context.
            serde: How the result is written and read.
            max_attempts: Executions, the first included, before it fails for good; None: no limit.
            max_retry_duration: Time since the first execution before it fails for good; None: no limit.
            type_hint: Type of the result; None takes the action's return annotation.
            args: Positional arguments for the action.
        """
        options: RunOptions[Any] = DEFAULT_RUN_OPTIONS
        if (
            serde is not _DEFAULT_SERDE
            or type_hint is not None
            or max_attempts is not None
            or max_retry_duration is not None
        ):
            options = RunOptions(
                serde=serde, type_hint=type_hint, max_attempts=max_attempts, max_duration=max_retry_duration
            )
        return self._run(name, action, options, args or (), {})

    @overload
    def run_typed(
        self,
        name: str,
        action: Callable[ParamsT, Coroutine[Any, Any, T]],
        options: RunOptions[T] = ...,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> DurableFuture[T]: ...
    @overload
    def run_typed(
        self,
        name: str,
        action: Callable[ParamsT, T],
        options: RunOptions[T] = ...,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> DurableFuture[T]: ...
    def run_typed(
        self,
        name: str,
        action: Callable[ParamsT, Any],
        options: RunOptions[Any] = DEFAULT_RUN_OPTIONS,
        /,
        *args: ParamsT.args,
        **kwargs: ParamsT.kwargs,
    ) -> DurableFuture[Any]:
        """Record what `action(*args, **kwargs)` gives, so that it runs once.

        The action starts when the future is first awaited. It may run again when the process dies
        before its result is recorded, so it should be idempotent.

        Args:
            name: Label of the journal entry.
            action: `async def` runs on the event loop, `def` in a thread. It must not use the context.
            options: Serialization and retries.
            args: Positional arguments for the action.
            kwargs: Keyword arguments for the action.

        Raises:
            UsageError: An option is out of bounds.
            SdkInternalException: The journal holds something else here; the attempt fails with 570.

        Source: service protocol, RunCommand, ProposeRunCompletion and the run completion.
        """
        return self._run(name, action, options, args, kwargs)

    def _run(
        self,
        name: str,
        action: Callable[..., Any],
        options: RunOptions[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> DurableFuture[Any]:
        if options is DEFAULT_RUN_OPTIONS:
            serde = return_serde(action)
            policy = INFINITE
        else:
            serde = (
                return_serde(action)
                if options.type_hint is None and type(options.serde) is DefaultSerde
                else resolve_serde(options.serde, options.type_hint)
            )
            policy = retry_policy(options)
        machine = self.machine
        try:
            handle = machine.sys_run(name)
            recorded = machine.run_is_recorded(handle)
        except ProtocolError as error:
            raise self.broken(error) from error
        if recorded:
            return DurableFuture(self, handle, serde.deserialize)
        run: RunFuture[Any] = RunFuture(self, handle, serde, name, action, args, kwargs, policy)
        self.driver.runs[handle] = run
        return run

    # Time and chance

    def sleep(self, delta: timedelta, name: str | None = None) -> RestateDurableSleepFuture:
        """Start a durable timer that fires `delta` from now; await it to sleep.

        Args:
            delta: Zero or more, counted in whole milliseconds. Days and months are fine.
            name: Label of the journal entry.

        Raises:
            UsageError: `delta` is negative.

        Source: service protocol, SleepCommand; the wake-up time is absolute.
        """
        try:
            handle = self.machine.sys_sleep(wall_clock_ms() + milliseconds(delta, "sleep"), name or "")
        except ProtocolError as error:
            raise self.broken(error) from error
        return RestateDurableSleepFuture(self, handle)

    def random(self) -> Random:
        """Give the invocation's random generator: the same numbers on every attempt.

        Source: service protocol, StartMessage.random_seed (V5: derived from the invocation id).
        """
        if self._random is None:
            self._random = Random(self._input.random_seed)  # noqa: S311 - replay needs a seeded generator
        return self._random

    def uuid(self) -> UUID:
        """Give a random UUID (version 4) that is the same on every attempt."""
        return UUID(int=self.random().getrandbits(128), version=4)

    def time(self) -> DurableFuture[float]:
        """Give the time, in seconds since the epoch, as it was when first asked for here."""
        return self._run("timestamp", _read_clock, DEFAULT_RUN_OPTIONS, (), {})

    # Awakeables and signals

    def awakeable(
        self, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> tuple[str, DurableFuture[T]]:
        """Make a promise that anyone who has its id can complete: give the id and the future.

        Source: service protocol, signals; nothing is journaled until it is completed.
        """
        try:
            awakeable_id, handle = self.machine.sys_awakeable()
        except ProtocolError as error:
            raise self.broken(error) from error
        return awakeable_id, DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def resolve_awakeable(self, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE) -> None:
        """Complete the awakeable with the id `name`.

        Source: service protocol, CompleteAwakeableCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_complete_awakeable(name, payload)
        except ProtocolError as error:
            raise self.broken(error) from error

    def reject_awakeable(self, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Fail the awakeable with the id `name`: whoever waits for it gets a `TerminalError`."""
        try:
            self.machine.sys_complete_awakeable(name, Failure(failure_code, failure_message))
        except ProtocolError as error:
            raise self.broken(error) from error

    def signal(
        self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T]:
        """Give a future of the signal `name` of this invocation. It may arrive before this call.

        Source: service protocol, named signals.
        """
        try:
            handle = self.machine.sys_signal(name)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def resolve_signal(self, invocation_id: str, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE) -> None:
        """Send the signal `name` with a value to another invocation.

        Source: service protocol, SendSignalCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_send_signal(invocation_id, name, payload)
        except ProtocolError as error:
            raise self.broken(error) from error

    def reject_signal(self, invocation_id: str, name: str, failure_message: str, failure_code: int = 500) -> None:
        """Send the signal `name` with a failure: who waits for it gets a `TerminalError`."""
        try:
            self.machine.sys_send_signal(invocation_id, name, Failure(failure_code, failure_message))
        except ProtocolError as error:
            raise self.broken(error) from error

    # Other invocations

    def cancel_invocation(self, invocation_id: str) -> None:
        """Ask another invocation to cancel.

        Source: service protocol, SendSignalCommand with the built-in signal CANCEL.
        """
        try:
            self.machine.sys_cancel(invocation_id)
        except ProtocolError as error:
            raise self.broken(error) from error

    def cancellation(self) -> DurableFuture[None]:
        """Give a future of this invocation's cancellation, for handlers with `explicit_cancellation`.

        Raises:
            UsageError: Cancellation is implicit here: it is raised from whatever the handler awaits.
        """
        if not self.handler.explicit_cancellation:
            raise UsageError(
                f"{self.handler.service_name}/{self.handler.name} does not handle cancellation itself.",
                hint="Register the handler with explicit_cancellation=True, or catch InvocationCancelledError.",
            )
        return DurableFuture(self, _CANCEL_HANDLE)

    def attach_invocation(
        self, invocation_id: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T]:
        """Wait for another invocation's result.

        Source: service protocol, AttachInvocationCommand.
        """
        return self._attach(invocation_id, serde, type_hint)

    def attach_workflow(
        self, workflow: str, key: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T]:
        """Wait for the result of the workflow `workflow` with that key."""
        return self._attach(WorkflowTarget(workflow, key), serde, type_hint)

    def attach_idempotent(
        self,
        service: str,
        handler: str,
        idempotency_key: str,
        key: str | None = None,
        serde: Serde[T] = _DEFAULT_SERDE,
        type_hint: type[T] | None = None,
    ) -> DurableFuture[T]:
        """Wait for the result of the invocation that was made with that idempotency key."""
        return self._attach(IdempotentTarget(service, handler, idempotency_key, key), serde, type_hint)

    def invocation_output(
        self, invocation_id: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurableFuture[T | None]:
        """Give another invocation's result if it is completed now, else None.

        Source: service protocol, GetInvocationOutputCommand.
        """
        try:
            handle = self.machine.sys_get_output(invocation_id)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def _attach(
        self, target: str | WorkflowTarget | IdempotentTarget, serde: Serde[T], type_hint: type[T] | None
    ) -> DurableFuture[T]:
        try:
            handle = self.machine.sys_attach(target)
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    # For futures and drivers

    def decode_later(self, future: DurableFuture[T], payload: bytes, decode: Callable[[bytes], T]) -> None:
        """Let the driver decode `payload` with the journal value codec and then settle `future`."""
        if self.to_decode is None:
            self.to_decode = []
        self.to_decode.append((future, payload, decode))

    def encoded(self, value: Any, serde: Serde[Any]) -> bytes:
        """Serialize a value for the journal, by its own type where the serde does not fix one."""
        payload = resolve_serde(serde, None if value is None else type(value)).serialize(value)
        return payload if self.codec is None else self.codec.encode(payload)

    def broken(self, error: ProtocolError) -> SdkInternalBaseException:
        """End the attempt because of `error`; give the signal to raise."""
        if not closed_misuse(error):
            attempt_logger.error("%s: %s", self.invocation_id, error)
        return self.end(SdkInternalException(error.message))

    def end(self, signal: SdkInternalBaseException) -> SdkInternalBaseException:
        """Let every further operation raise: give the signal to raise now."""
        if self.ended is None:
            self.ended = signal
            return signal
        return SuspendedException() if isinstance(self.ended, SuspendedException) else SdkInternalException()

    def finish(self) -> None:
        """Tell whoever waits for it that the attempt is over."""
        if self._finished is not None:
            self._finished.set()

    def describe(self) -> str:
        """Name the handler and the invocation for operators."""
        return f"{self.handler.service_name}/{self.handler.name} {self._input.debug_id}"

    @property
    def _object_key(self) -> str:
        return self._input.key


class ObjectSharedContext(Context):
    """The context of a virtual object's shared handler: reads the state of its key."""

    __slots__ = ()

    def key(self) -> str:
        """Give the key of this object or workflow."""
        return self._object_key

    def get(
        self,
        name: str,
        serde: Serde[T] = _DEFAULT_SERDE,
        type_hint: type[T] | None = None,
        entry_name: str | None = None,
    ) -> DurableFuture[T | None]:
        """Read a state key; None when it is not set.

        Args:
            name: The state key.
            serde: How the value is read.
            type_hint: Type of the value, for the default serde.
            entry_name: Label of the journal entry.

        Source: service protocol, GetEagerState or GetLazyState.
        """
        try:
            handle = self.machine.sys_get_state(name, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle, resolve_serde(serde, type_hint).deserialize)

    def state_keys(self, entry_name: str | None = None) -> DurableFuture[list[str]]:
        """Give the names of all state keys that are set.

        Source: service protocol, GetEagerStateKeys or GetLazyStateKeys.
        """
        try:
            handle = self.machine.sys_get_state_keys(entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error
        return DurableFuture(self, handle)


class ObjectContext(ObjectSharedContext):
    """The context of a virtual object's exclusive handler: reads and writes the state of its key."""

    __slots__ = ()

    def set(self, name: str, value: T, serde: Serde[T] = _DEFAULT_SERDE, entry_name: str | None = None) -> None:
        """Set a state key. Later reads of this handler see it at once.

        Source: service protocol, SetStateCommand.
        """
        payload = self.encoded(value, serde)
        try:
            self.machine.sys_set_state(name, payload, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error

    def clear(self, name: str, entry_name: str | None = None) -> None:
        """Remove a state key; nothing happens when it is not set."""
        try:
            self.machine.sys_clear_state(name, entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error

    def clear_all(self, entry_name: str | None = None) -> None:
        """Remove all state keys."""
        try:
            self.machine.sys_clear_all_state(entry_name or "")
        except ProtocolError as error:
            raise self.broken(error) from error


class WorkflowSharedContext(ObjectSharedContext):
    """The context of a workflow's shared handler: reads its state, completes its promises."""

    __slots__ = ()

    def promise(
        self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return DurablePromise(name, serde, context=self, type_hint=type_hint)


class WorkflowContext(ObjectContext):
    """The context of a workflow's run handler."""

    __slots__ = ()

    def promise(
        self, name: str, serde: Serde[T] = _DEFAULT_SERDE, type_hint: type[T] | None = None
    ) -> DurablePromise[T]:
        """Give the workflow's durable promise `name`."""
        return DurablePromise(name, serde, context=self, type_hint=type_hint)


async def _read_clock() -> float:
    return time.time()


def wall_clock_ms() -> int:
    """Give the time in whole milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def milliseconds(delta: timedelta, operation: str) -> int:
    """Give `delta` in whole milliseconds.

    Raises:
        UsageError: It is negative.
    """
    result = delta // _MILLISECOND
    if result < 0:
        raise UsageError(f"{operation} was given a negative duration: {delta}.", hint="Give zero or more.")
    return cast("int", result)

