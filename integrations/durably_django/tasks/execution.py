"""One call of a task's function, and what came of it.

Owns the arguments that the function gets, and the line between what ends a task and what runs it again.

| the function | outcome |
|---|---|
| returns something that JSON can say | succeeded |
| returns something else | failed, with the `TypeError` |
| raises an exception, `SystemExit` included | failed; another attempt where `max_attempts` allows one |
| raises `KeyboardInterrupt` | as above, unless it stands in the main thread: then somebody pressed a key |
| raises `TerminalError` | failed, without another attempt |
| raises `RetryableError` | none: it is run again, after the pauses of the runtime |
| is interrupted: a crash, the end of the process | none: it is run again |
"""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from traceback import format_exception
from typing import Any

from durably.authoring.contexts import Context
from durably.authoring.sync_contexts import SyncContext
from durably.errors import EngineStoppedError, ProtocolError, RetryableError, TerminalError
from durably_django.attempts import ContextParameter, find_context
from durably_django.tasks.framework import InvalidTask, TaskContext, TaskResult, normalize_json

__all__ = [
    "Outcome",
    "Seen",
    "arguments_of",
    "check_context",
    "failed",
    "from_json",
    "outcome_of",
    "outcome_of_awaited",
    "to_json",
]

_RUN_AGAIN = (RetryableError, ProtocolError, EngineStoppedError)
"""What says nothing about the task: the attempt goes wrong, and the runtime makes another."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt; journaled.

    Attributes:
        return_value: As JSON in ASCII.
        error_class: Path of the exception's class; empty if there was none.
        traceback: Of the exception.
        is_final: Whether another attempt makes no sense.
    """

    return_value: str = "null"
    error_class: str = ""
    traceback: str = ""
    is_final: bool = False


@dataclass(slots=True)
class Seen:
    """The exception of this attempt, while this process still has it: what the journal has is its text."""

    error: BaseException | None = None


def to_json(value: Any) -> str:
    """Write a value as JSON in ASCII.

    Raises:
        TypeError: It has a type that JSON has not.
        ValueError: It holds a number that JSON has not, or bytes that are no text.
    """
    return json.dumps(normalize_json(value), allow_nan=False)


def from_json(text: str) -> Any:
    """Read what `to_json` wrote."""
    return json.loads(text)


def failed(error: BaseException) -> Outcome:
    """Give the outcome of an attempt that raised."""
    kind = type(error)
    text = "".join(format_exception(error)).encode("utf-8", "backslashreplace").decode()
    is_final = isinstance(error, TerminalError)
    return Outcome(error_class=f"{kind.__module__}.{kind.__qualname__}", traceback=text, is_final=is_final)


def outcome_of(work: Callable[[], Any], seen: Seen) -> Outcome:
    """Run a task's function.

    Raises:
        RetryableError: The function raised it; so what says that the attempt itself went wrong.
    """
    try:
        return Outcome(to_json(work()))
    except _RUN_AGAIN:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return _noted(error, seen)


async def outcome_of_awaited(work: Callable[[], Coroutine[Any, Any, Any]], seen: Seen) -> Outcome:
    """Await a task's function; see `outcome_of`."""
    try:
        return Outcome(to_json(await work()))
    except _RUN_AGAIN:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return _noted(error, seen)


def _noted(error: BaseException, seen: Seen) -> Outcome:
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    seen.error = error
    return failed(error)


def check_context(function: Callable[..., Any], *, takes_task_context: bool) -> ContextParameter | None:
    """Find the parameter of a task's function that takes the durable context; None if it has none.

    Raises:
        InvalidTask: Its annotation cannot work.
    """
    found = find_context(function)
    if found is None:
        return None
    name, annotation = found
    wanted = Context if inspect.iscoroutinefunction(function) else SyncContext
    if annotation is not wanted:
        raise InvalidTask(
            f"Parameter {name!r} of task {function.__qualname__} is annotated as {annotation.__name__}; a task that is"
            f" {'async def' if wanted is Context else 'def'} takes {wanted.__name__}."
        )
    parameters = inspect.signature(function).parameters
    if takes_task_context and name == next(iter(parameters)):
        raise InvalidTask(f"The first parameter of task {function.__qualname__} is Django's context, not durably's.")
    if parameters[name].kind is inspect.Parameter.POSITIONAL_ONLY:
        raise InvalidTask(f"Parameter {name!r} of task {function.__qualname__} is positional-only; pass it by name.")
    return found


def arguments_of(
    result: TaskResult[..., Any], context: ContextParameter | None, given: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Give the arguments of one call of a task's function.

    Args:
        result: Of the task; holds what was enqueued.
        context: The parameter that takes the durable context, or None.
        given: The durable context.
    """
    args: list[Any] = [TaskContext(task_result=result)] if result.task.takes_context else []
    args += result.args
    if context is None:
        return args, result.kwargs
    name = context[0]
    parameter = inspect.signature(result.task.func).parameters[name]
    position = list(inspect.signature(result.task.func).parameters).index(name)
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY or position > len(args):
        return args, {**result.kwargs, name: given}
    return [*args[:position], given, *args[position:]], result.kwargs
