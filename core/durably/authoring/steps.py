"""Durable steps, time and chance: what must be the same on every attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from random import Random
from typing import Any, ParamSpec, TypeVar, cast, overload
from uuid import UUID

from durably.authoring.current import in_step
from durably.authoring.futures import DurableFuture, RecordedRunFuture, RestateDurableSleepFuture, RunFuture
from durably.authoring.operations import DEFAULT_SERDE, Operations, milliseconds, wall_clock_ms
from durably.authoring.probes import probe
from durably.authoring.runs import DEFAULT_RUN_OPTIONS, INFINITE, RunAction, RunOptions, retry_policy, step_misuse
from durably.authoring.step_managers import manage_step
from durably.errors import ProtocolError
from durably.serde import DefaultSerde, Serde, resolve_serde, return_serde

__all__ = ["Steps"]

T = TypeVar("T")
ParamsT = ParamSpec("ParamsT")


class Steps(Operations):
    """The operations that record what a handler may not simply do again."""

    __slots__ = ()

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
        serde: Serde[T] = DEFAULT_SERDE,
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
            serde is not DEFAULT_SERDE
            or type_hint is not None
            or max_attempts is not None
            or max_retry_duration is not None
        ):
            options = RunOptions(
                serde=serde, type_hint=type_hint, max_attempts=max_attempts, max_duration=max_retry_duration
            )
        return cast("DurableFuture[T]", self.run_typed(name, action, options, *(args or ())))

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
            return RecordedRunFuture(self, handle, serde.deserialize)
        is_managed = bool(self.handler.step_managers) and action not in _CLOCKS
        watching = probe.get()
        if watching is not None:
            action = watching.step(name, action)
        run: RunFuture[Any] = RunFuture(self, handle, serde, name, action, args, kwargs, policy)
        if is_managed:
            manage_step(run, self, self.handler.step_managers)
        self.driver.runs[handle] = run
        return run

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

        Raises:
            UsageError: Called in a step, which does not run on every attempt.

        Source: service protocol, StartMessage.random_seed (V5: derived from the invocation id).
        """
        if in_step.get():
            raise step_misuse(self)
        if self._random is None:
            self._random = Random(self._input.random_seed)  # noqa: S311 - replay needs a seeded generator
        return self._random

    def uuid(self) -> UUID:
        """Give a random UUID (version 4) that is the same on every attempt."""
        return UUID(int=self.random().getrandbits(128), version=4)

    def time(self) -> DurableFuture[float]:
        """Give the time, in seconds since the epoch, as it was when first asked for here."""
        if not self.handler.is_async:
            return self.run_typed("timestamp", _read_clock_here)
        return self.run_typed("timestamp", _read_clock)


async def _read_clock() -> float:
    return _read_clock_here()


def _read_clock_here() -> float:
    watching = probe.get()
    return time.time() if watching is None else watching.now_ms() / 1000


_CLOCKS = (_read_clock, _read_clock_here)
