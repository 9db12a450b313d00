"""The durable handlers that run tasks: one service for each backend, with a handler for each colour.

Owns their shape. A task is run whole in one step: its outcome is journaled before its row says so, so that a crash, or
a database that is away just then, repeats the noting but not the work. A task that takes the durable context is run by
the handler itself, and its own steps are what is not repeated. Each further attempt is an invocation of its own, with
an empty journal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from asgiref.sync import sync_to_async

from durably.authoring.contexts import Context
from durably.authoring.services import Service
from durably.authoring.sync_contexts import SyncContext
from durably.errors import TerminalError
from durably_django.attempts import ContextParameter
from durably_django.runtime import runtime
from durably_django.tasks.execution import (
    Outcome,
    Seen,
    arguments_of,
    check_context,
    failed,
    outcome_of,
    outcome_of_awaited,
)
from durably_django.tasks.framework import InvalidTask, TaskResult
from durably_django.tasks.messages import Message, find_task
from durably_django.tasks.options import TaskOptions

__all__ = ["TaskService", "service_of"]

_START: Final = "start"


@dataclass(frozen=True, slots=True)
class TaskService:
    """What runs the tasks of one backend.

    Attributes:
        service: As it is bound.
        run: Its handler for tasks that block.
        run_async: Its handler for tasks that await.
    """

    service: Service
    run: Callable[..., Any]
    run_async: Callable[..., Any]


_services: Final[dict[str, TaskService]] = {}
_making: Final = Lock()


def service_of(alias: str, options: TaskOptions) -> TaskService:
    """Give the service of the backend `alias`; made and bound when it is first asked for.

    Raises:
        RegistrationError: It is asked for too late: the runtime has started without it.
    """
    with _making:
        found = _services.get(alias)
        if found is None:
            found = _make(alias, options)
            runtime.bind(found.service)
            _services[alias] = found
        return found


def _make(alias: str, options: TaskOptions) -> TaskService:
    name = f"django_tasks_{re.sub('[^A-Za-z0-9_]', '_', alias)}"
    service = Service(name, f"Runs the tasks of the backend {alias!r}.", abort_timeout=options.timeout)

    @service.handler("run")
    def run(ctx: SyncContext, message: Message) -> None:
        """Run a task that blocks."""
        runs = _Runs(alias)
        seen = Seen()
        outcome = runs.attempt(ctx, message, seen)
        pause = None if outcome is None else runs.finish(message, outcome, seen)
        if pause is not None:
            ctx.send(run, replace(message, number=message.number + 1), delay=pause)

    @service.handler("run_async")
    async def run_async(ctx: Context, message: Message) -> None:
        """Run a task that awaits."""
        runs = _Runs(alias)
        seen = Seen()
        outcome = await runs.attempt_async(ctx, message, seen)
        pause = None if outcome is None else await sync_to_async(runs.finish)(message, outcome, seen)
        if pause is not None:
            ctx.send(run_async, replace(message, number=message.number + 1), delay=pause)

    return TaskService(service, run, run_async)


class _Runs:
    """The attempts of tasks of one backend, as its options are now."""

    def __init__(self, alias: str) -> None:
        from durably_django.tasks.backend import backend_of

        backend = backend_of(alias)
        self._options = backend.task_options
        self._sender = type(backend)

    def attempt(self, ctx: SyncContext, message: Message, seen: Seen) -> Outcome | None:
        """Make one attempt of a task that blocks; None where it must not be made."""
        context = _context_of(message.task)
        try:
            if context is None:
                return ctx.run_typed(message.task, self._run_whole, message=message, seen=seen)
            if not ctx.run_typed(_START, self._begin, message=message):
                return None
        except TerminalError as error:  # cancelled
            return _cancelled(error, seen)
        return outcome_of(lambda: _call(self._load(message), context, ctx), seen)

    async def attempt_async(self, ctx: Context, message: Message, seen: Seen) -> Outcome | None:
        """Make one attempt of a task that awaits; see `attempt`."""
        context = await sync_to_async(_context_of)(message.task)
        try:
            if context is None:
                return await ctx.run_typed(message.task, self._await_whole, message=message, seen=seen)
            if not await ctx.run_typed(_START, sync_to_async(self._begin), message=message):
                return None
        except TerminalError as error:
            return _cancelled(error, seen)

        async def work() -> Any:
            return await _call(await sync_to_async(self._load)(message), context, ctx)

        return await outcome_of_awaited(work, seen)

    def finish(self, message: Message, outcome: Outcome, seen: Seen) -> timedelta | None:
        """Note the outcome; gives the pause before the next attempt."""
        from durably_django.tasks.records import finish

        return finish(message, outcome, self._options, self._sender, seen.error)

    def _begin(self, message: Message) -> bool:
        from durably_django.tasks.records import begin

        return begin(message, self._options, self._sender) is not None

    def _load(self, message: Message) -> TaskResult[..., Any]:
        from durably_django.tasks.models import TaskRecord
        from durably_django.tasks.records import to_result

        return to_result(TaskRecord.objects.using(self._options.database).get(pk=message.id))

    def _run_whole(self, message: Message, seen: Seen) -> Outcome | None:
        if not self._begin(message):
            return None
        return outcome_of(lambda: _call(self._load(message), None, None), seen)

    async def _await_whole(self, message: Message, seen: Seen) -> Outcome | None:
        if not await sync_to_async(self._begin)(message):
            return None

        async def work() -> Any:
            return await _call(await sync_to_async(self._load)(message), None, None)

        return await outcome_of_awaited(work, seen)


def _call(result: TaskResult[..., Any], context: ContextParameter | None, given: Any) -> Any:
    args, kwargs = arguments_of(result, context, given)
    return result.task.func(*args, **kwargs)


def _context_of(path: str) -> ContextParameter | None:
    """Find the parameter for the durable context; a task that is gone has none, and fails when it is called."""
    try:
        task = find_task(path)
    except InvalidTask:
        return None
    return check_context(task.func, takes_task_context=task.takes_context)


def _cancelled(error: TerminalError, seen: Seen) -> Outcome:
    seen.error = error
    return failed(error)
