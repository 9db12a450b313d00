"""The task framework of the project: Django's own since 6.0, the `django-tasks` package before.

Owns the choice, made once at import, and the names that both have. Where both are installed it is Django's.
"""

# pyright: reportMissingModuleSource=false
# The stubs have Django's framework, whatever Django is installed.

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
    from django.tasks.signals import task_enqueued, task_finished, task_started

    normalize_json: Callable[[Any], Any]

__all__ = [
    "PACKAGE",
    "BaseTaskBackend",
    "InvalidTask",
    "InvalidTaskBackend",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "find_package",
    "normalize_json",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
]


def find_package() -> str | None:
    """Give the name of the framework's package: `django.tasks`, `django_tasks`, or None where there is neither."""
    return next((name for name in ("django.tasks", "django_tasks") if find_spec(name) is not None), None)


def _chosen() -> str:
    package = find_package()
    if package is None:
        raise ImproperlyConfigured(
            "There is no task framework. Django has one since 6.0; before, install the package django-tasks"
            " (pip install django-tasks)."
        )
    return package


PACKAGE: Final[str] = _chosen()
"""The framework's package."""

if not TYPE_CHECKING:
    _base = import_module(f"{PACKAGE}.base")
    Task, TaskContext, TaskError = _base.Task, _base.TaskContext, _base.TaskError
    TaskResult, TaskResultStatus = _base.TaskResult, _base.TaskResultStatus
    _exceptions = import_module(f"{PACKAGE}.exceptions")
    # Up to release 0.12 django-tasks called them errors.
    InvalidTask = getattr(_exceptions, "InvalidTask", None) or _exceptions.InvalidTaskError
    InvalidTaskBackend = getattr(_exceptions, "InvalidTaskBackend", None) or _exceptions.InvalidTaskBackendError
    TaskResultDoesNotExist = _exceptions.TaskResultDoesNotExist
    BaseTaskBackend = import_module(f"{PACKAGE}.backends.base").BaseTaskBackend
    task_backends = import_module(PACKAGE).task_backends
    _signals = import_module(f"{PACKAGE}.signals")
    task_enqueued, task_started = _signals.task_enqueued, _signals.task_started
    task_finished = _signals.task_finished
    import_module(f"{PACKAGE}.checks")  # which django-tasks leaves to its own application
    _json = import_module("django.utils.json" if PACKAGE == "django.tasks" else "django_tasks.utils")
    normalize_json = _json.normalize_json
