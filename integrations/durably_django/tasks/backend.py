"""The backend: what Django calls when a task is enqueued, or its result is asked for.

Owns the promises of `django.tasks`. A task's row and the message that starts it are written in one transaction, the one
that is open where `enqueue` is called: the task runs if, and only if, that commits.

| promise | kept by |
|---|---|
| `run_after` | a durable timer |
| results, from any process | a row in the project's database |
| `async def` tasks | an `async def` handler |
| priorities | not kept, and refused: the runtime starts what is due in the order it came |
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils import timezone
from django.utils.crypto import get_random_string

from durably_django.tasks.execution import check_context
from durably_django.tasks.framework import (
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
)
from durably_django.tasks.messages import Message, find_task
from durably_django.tasks.options import TaskOptions, read_options

__all__ = ["DurablyBackend", "backend_of"]

ParamsT = ParamSpec("ParamsT")
ResultT = TypeVar("ResultT")

_ID_CHARS: Final = 32
_APPS: Final = ("durably_django", "durably_django.tasks")


class DurablyBackend(BaseTaskBackend):
    """Runs tasks as durable handlers: what was enqueued is run to its end, whatever process dies meanwhile.

    A task that raises is FAILED, unless `max_attempts` allows another attempt. A task whose process died is run again
    from its beginning; one that takes the durable context (`ctx: SyncContext`, `ctx: Context`) goes on after its last
    step.

    Attributes:
        task_options: `OPTIONS`, read.
    """

    supports_defer: bool = True
    supports_async_task: bool = True
    supports_get_result: bool = True
    supports_priority: bool = False

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        """Read the settings of the backend; nothing is opened.

        Raises:
            ImproperlyConfigured: An option is unknown or cannot work.
        """
        super().__init__(alias, params)
        self.task_options: TaskOptions = read_options(alias, self.options)

    def validate_task(self, task: Task[..., Any]) -> None:
        """Refuse a task that cannot be run.

        Raises:
            InvalidTask: Says why.
        """
        super().validate_task(task)
        check_context(task.func, takes_task_context=task.takes_context)

    def enqueue(
        self, task: Task[ParamsT, ResultT], args: list[Any] | tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> TaskResult[ParamsT, ResultT]:
        """Store a task, to be run when the transaction commits that is open here; at once where none is.

        Args:
            task: The task.
            args: Its positional arguments.
            kwargs: Its named arguments.

        Raises:
            InvalidTask: It cannot be run, or not be found by its name.
            TypeError: An argument is nothing that JSON can say.
            ValueError: An argument is a number or text that JSON has not.
            ImproperlyConfigured: An application is missing in `INSTALLED_APPS`.
        """
        self.validate_task(task)
        _check_installed()
        from durably_django.outbox.sending import send_on_commit
        from durably_django.tasks.records import store
        from durably_django.tasks.services import service_of

        if find_task(task.module_path).func != task.func:
            raise InvalidTask(f"Under the name {task.module_path} stands another task.")
        now = timezone.now()
        result: TaskResult[ParamsT, ResultT] = TaskResult(
            task=task,
            id=get_random_string(_ID_CHARS),
            status=TaskResultStatus.READY,
            enqueued_at=now,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        service = service_of(self.alias, self.task_options)
        handler = service.run_async if inspect.iscoroutinefunction(task.func) else service.run
        database = self.task_options.database
        with transaction.atomic(using=database):
            store(result, database)
            delay = None if task.run_after is None else max(task.run_after - now, timedelta(0))
            message = Message(result.id, task.module_path)
            send_on_commit(handler, message, delay=delay or None, using=database)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult[..., Any]:
        """Look up a result.

        Raises:
            TaskResultDoesNotExist: There is none of this backend, its transaction has not committed, or its time is
                over.
            InvalidTask: Its task has been removed from the project.
        """
        _check_installed()
        from durably_django.tasks.records import find, to_result

        row = find(result_id, self.alias, self.task_options)
        if row is None:
            raise TaskResultDoesNotExist(result_id)
        return to_result(row)

    def check(self, **kwargs: Any) -> list[Any]:
        """Look for what cannot work, for `manage.py check`."""
        found: list[Any] = [
            checks.Error(
                f"The task backend {self.alias!r} needs {name!r} in INSTALLED_APPS.",
                hint=f"Add it, then migrate: INSTALLED_APPS += [{name!r}].",
                id="durably.E101",
            )
            for name in _missing()
        ]
        if self.task_options.database not in connections:
            found.append(
                checks.Error(
                    f"The task backend {self.alias!r} stores tasks in database {self.task_options.database!r}, which"
                    " DATABASES does not have.",
                    id="durably.E102",
                )
            )
        url = str(dict(getattr(settings, "DURABLY", None) or {}).get("URL", ""))
        if url.startswith("memory:") and not settings.DEBUG:
            found.append(
                checks.Warning(
                    f"The task backend {self.alias!r} runs on an engine in memory: tasks end with the process.",
                    hint='Set DURABLY["URL"] to a file or a Restate Server.',
                    id="durably.W101",
                )
            )
        return found


def backend_of(alias: str) -> DurablyBackend:
    """Give the backend `alias`.

    Raises:
        ImproperlyConfigured: It is none of ours.
    """
    backend: Any = task_backends[alias]
    if not isinstance(backend, DurablyBackend):
        raise ImproperlyConfigured(f"TASKS[{alias!r}] is a {type(backend).__name__}, but a durable task waits for it.")
    return backend


def _missing() -> list[str]:
    return [name for name in _APPS if not apps.is_installed(name)]


def _check_installed() -> None:
    missing = _missing()
    if missing:
        raise ImproperlyConfigured(f"Durable tasks need {' and '.join(missing)} in INSTALLED_APPS, and its migrations.")
