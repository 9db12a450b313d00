"""Options of durable steps, and what one execution of an action means to the journal.

Owns `RunOptions`, its translation into the machine's retry policy, and the report of an execution:
a value is proposed, a terminal failure is proposed, anything else goes to the retry policy.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from durably.authoring.current import in_step
from durably.authoring.failures import Outcome, failure_of, text_of
from durably.authoring.replay_logging import attempt_logger
from durably.errors import RetryableError, TerminalError, UsageError
from durably.machine import Failure, OnExhausted, RunRetryPolicy
from durably.serde import DefaultSerde, Serde

if TYPE_CHECKING:
    from durably.authoring.contexts import Context
    from durably.authoring.futures import RunFuture
    from durably.authoring.operations import Operations
    from durably.machine import Machine

__all__ = [
    "RunAction",
    "RunOptions",
    "StepMachine",
    "describe",
    "failure_from",
    "is_coroutine_action",
    "outcome_of",
    "propose_failure",
    "propose_value",
    "retry_policy",
    "status_of",
    "step_misuse",
    "written",
]

T = TypeVar("T")

RunAction = Callable[..., Coroutine[Any, Any, T]] | Callable[..., T]

_COROUTINE_FLAG = 0x80  # inspect.CO_COROUTINE; looked at directly, because this is asked for every step
_WRAPPERS_LIMIT = 8  # partials of partials and decorators around decorators that are looked through
_MAX_MESSAGE_CHARS = 4096  # of a failure text that is taken from an exception
_INITIAL_INTERVAL_MS = 50
_MAX_INTERVAL_MS = 10_000
_FACTOR = 2.0
_MAX_STATUS = 65535
_DEFAULT_STATUS = 500


@dataclass(frozen=True)
class RunOptions(Generic[T]):
    """How a durable step is serialized and retried.

    With no retry option set, a failing step fails the attempt and the invocation's retry policy
    decides. With any of them set, the step has an exponential policy of its own.

    Attributes:
        serde: How the result is written and read; the default goes by the type.
        type_hint: Type of the result; None takes the action's return annotation.
        max_attempts: Executions, the first included, before the step fails for good; at least 1.
        max_duration: Time since the first execution before it fails for good.
        initial_retry_interval: First delay; the default is 50 ms.
        max_retry_interval: Longest delay; the default is 10 s.
        retry_interval_factor: Growth of the delay; the default is 2.
        max_retry_duration: Older name of `max_duration`.
        on_max_attempts: "fail" turns exhaustion into a terminal error in the handler; "pause" pauses
            the invocation for an operator (protocol V7).

    Source: service protocol, run retry policies; ours for `on_max_attempts`.
    """

    serde: Serde[T] = DefaultSerde()
    type_hint: type[T] | None = None
    max_attempts: int | None = None
    max_duration: timedelta | None = None
    initial_retry_interval: timedelta | None = None
    max_retry_interval: timedelta | None = None
    retry_interval_factor: float | None = None
    max_retry_duration: timedelta | None = None
    on_max_attempts: Literal["fail", "pause"] = "fail"


DEFAULT_RUN_OPTIONS: RunOptions[Any] = RunOptions()
INFINITE: RunRetryPolicy = RunRetryPolicy.infinite()


def retry_policy(options: RunOptions[Any]) -> RunRetryPolicy:
    """Translate the options; the infinite policy when no retry option is set.

    Raises:
        UsageError: An option is out of bounds.
    """
    max_duration = options.max_duration if options.max_duration is not None else options.max_retry_duration
    retry_options = (
        options.max_attempts,
        max_duration,
        options.initial_retry_interval,
        options.max_retry_interval,
        options.retry_interval_factor,
    )
    if all(option is None for option in retry_options):
        return INFINITE
    if options.max_attempts is not None and options.max_attempts < 1:
        raise UsageError(f"max_attempts is {options.max_attempts}.", hint="It counts the first execution: at least 1.")
    return RunRetryPolicy(
        initial_interval_ms=_milliseconds(options.initial_retry_interval, _INITIAL_INTERVAL_MS),
        factor=_FACTOR if options.retry_interval_factor is None else options.retry_interval_factor,
        max_interval_ms=_milliseconds(options.max_retry_interval, _MAX_INTERVAL_MS),
        max_attempts=options.max_attempts,
        max_duration_ms=None if max_duration is None else _milliseconds(max_duration, 0),
        on_exhausted=OnExhausted.PAUSE if options.on_max_attempts == "pause" else OnExhausted.FAIL_AS_TERMINAL,
    )


def _milliseconds(delta: timedelta | None, default_ms: int) -> int:
    if delta is None:
        return default_ms
    if delta < timedelta(0):
        raise UsageError(f"A retry option is a negative duration: {delta}.", hint="Give zero or a positive timedelta.")
    return delta // timedelta(milliseconds=1)


def is_coroutine_action(action: Callable[..., Any]) -> bool:
    """Tell whether calling `action` gives a coroutine, looking through methods and callable objects."""
    if type(action) is FunctionType:  # nearly always
        return bool(action.__code__.co_flags & _COROUTINE_FLAG)
    candidate: Any = action
    for _ in range(_WRAPPERS_LIMIT):
        if type(candidate) is FunctionType:
            return bool(candidate.__code__.co_flags & _COROUTINE_FLAG)
        if type(candidate) is MethodType:
            candidate = candidate.__func__
        elif type(candidate) is partial:
            candidate = candidate.func
        elif hasattr(candidate, "__wrapped__"):
            candidate = candidate.__wrapped__
        else:
            return inspect.iscoroutinefunction(candidate) or _has_coroutine_call(candidate)
    return False


def _has_coroutine_call(candidate: object) -> bool:
    return not isinstance(candidate, type) and inspect.iscoroutinefunction(getattr(type(candidate), "__call__", None))  # noqa: B004 - the method itself is wanted


def step_misuse(context: Operations, step: str = "") -> UsageError:
    """Give the error for an action that uses the handler's context: what it asked for could not be recorded."""
    which = f"step {step!r}" if step else "a step"
    return UsageError(
        f"{context.describe()}: the action of {which} used the handler's context.",
        hint="Use the context before or after the step, and pass values into the action.",
    )


class StepMachine:
    """Stands in for the machine while steps execute: steps must not use the context.

    When it `is_shared` the handler goes on meanwhile: code outside of steps gets what it asks for.
    """

    __slots__ = ("_context", "_is_shared", "_machine", "step")

    def __init__(self, context: Operations, machine: Machine, *, is_shared: bool = False) -> None:
        """Stand in for `context`'s machine; `step` is the name of the step that runs, where there is only one."""
        self._context = context
        self._machine = machine
        self._is_shared = is_shared
        self.step: str = ""

    @property
    def is_replaying(self) -> bool:
        """Tell what the log filter asks; a step executes only after the replay."""
        return False

    @property
    def is_closed(self) -> bool:
        """Tell whether the attempt is over."""
        return self._machine.is_closed

    def fail(self, *, code: int, message: str) -> None:
        """Fail the attempt."""
        self._machine.fail(code=code, message=message)

    def __getattr__(self, name: str) -> Any:
        """Refuse, or give the machine's attribute."""
        if in_step.get() or not self._is_shared:
            raise step_misuse(self._context, self.step)
        return getattr(self._machine, name)


def propose_value(machine: Machine, run: RunFuture[Any], context: Context, value: Any) -> None:
    """Propose what the action returned. A value that cannot be serialized counts as a failed execution."""
    try:
        payload = written(value, run, context)
    except Exception as error:
        propose_failure(machine, run, context, error, duration_ms=0)
        return
    machine.propose_run_success(run.handle, payload)


def written(value: Any, run: RunFuture[Any], context: Operations) -> bytes:
    """Give the result of a step as it is journaled."""
    payload = run.serialize(value)
    return payload if context.codec is None else context.codec.encode(payload)


def propose_failure(
    machine: Machine, run: RunFuture[Any], context: Context, error: BaseException, *, duration_ms: int
) -> None:
    """Report an execution that raised: terminal failures are recorded, others go to the retry policy.

    Afterwards the machine is closed when the attempt has to be retried.
    """
    outcome = outcome_of(error, context)
    if isinstance(outcome, TerminalError):
        run.cause = error
        machine.propose_run_failure(run.handle, failure_from(outcome))
        return
    retryable = outcome if isinstance(outcome, RetryableError) else None
    if not machine.is_closed:
        attempt_logger.log(
            # Who raises a RetryableError knows of the failure; everything else is news.
            logging.ERROR if retryable is None else logging.WARNING,
            "%s: step %r failed%s",
            context.describe(),
            run.name,
            "." if retryable is None else f": {text_of(retryable.message)}",
            exc_info=error if retryable is None else None,
        )
    delay = None if retryable is None else retryable.retry_after
    if machine.propose_run_error(
        run.handle,
        code=500 if retryable is None else status_of(retryable),
        message=describe(error) if retryable is None else text_of(retryable.message),
        stacktrace="".join(traceback.format_exception(error)),
        attempt_duration_ms=duration_ms,
        policy=run.policy,
        retry_after_ms=None if delay is None else max(0, delay // timedelta(milliseconds=1)),
    ):
        run.cause = error


def outcome_of(error: BaseException, context: Operations) -> Outcome | None:
    """Give how the attempt ends that raised `error`; see `failure_of`. A failure map that fails says nothing."""
    try:
        return failure_of(error, context.failure_maps)
    except Exception:
        attempt_logger.exception("%s: a failure map failed.", context.describe())
        return None


def failure_from(error: TerminalError) -> Failure:
    """Give an error as it is written, whatever its fields were given: it ends something for good."""
    metadata = tuple((text_of(key), text_of(value)) for key, value in (error.metadata or {}).items())
    return Failure(status_of(error), text_of(error.message), metadata)


def status_of(error: TerminalError | RetryableError) -> int:
    """Give the status of an error, or 500 where it is none."""
    status: Any = error.status_code
    return int(status) if isinstance(status, int) and 0 < status <= _MAX_STATUS else _DEFAULT_STATUS


def describe(error: BaseException) -> str:
    """Give an exception as one text for operators, bounded, whatever its `__str__` does."""
    text = text_of(error)
    name = type(error).__name__
    return f"{name}: {text}"[:_MAX_MESSAGE_CHARS] if text else name
