"""Django's tasks, run durably: a backend for `django.tasks`, and for the `django-tasks` package before Django 6.

    INSTALLED_APPS += ["durably_django", "durably_django.tasks"]
    TASKS = {"default": {"BACKEND": "durably_django.tasks.DurablyBackend"}}

Owns the name; it is imported on use, because Django imports this package before its applications are ready.

| module | owns |
|---|---|
| `framework` | which of the two task frameworks is there |
| `backend` | what Django calls: enqueueing, looking up results |
| `options` | `OPTIONS` of the backend |
| `models`, `records` | the row of a task, and how its state changes |
| `services` | the durable handlers that run tasks |
| `execution` | one call of a task's function, and what came of it |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durably_django.tasks.backend import DurablyBackend

__all__ = ["DurablyBackend"]


def __getattr__(name: str) -> Any:
    if name != "DurablyBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from durably_django.tasks.backend import DurablyBackend

    return DurablyBackend
