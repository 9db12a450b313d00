"""What is sent to run a task, and the way from a task's name to the task.

Owns both. Only what was made with Django's `@task` is ever called, whatever a message says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.utils.module_loading import import_string

from durably_django.tasks.framework import PACKAGE, InvalidTask, Task

__all__ = ["Message", "find_task"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to run a task.

    Attributes:
        id: Of the result, and the row.
        task: Path of the task, for those who look at invocations.
        number: Which attempt this is, from 1.
    """

    id: str
    task: str
    number: int = 1


def find_task(path: str) -> Task[..., Any]:
    """Import a task.

    Raises:
        InvalidTask: It is not there.
    """
    try:
        found: Any = import_string(path)
    except ImportError as error:
        raise InvalidTask(f"{path!r} cannot be imported: {error}") from error
    if isinstance(found, Task):
        return cast("Task[..., Any]", found)
    kind: Any = found.__class__
    raise InvalidTask(f"{path!r} is a {kind.__module__}.{kind.__qualname__}, not a task of {PACKAGE}.")
