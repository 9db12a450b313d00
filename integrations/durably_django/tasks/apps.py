"""The Django application `durably_django.tasks`.

Owns what happens when Django has loaded all applications: each backend in `TASKS` that is ours gets its service.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings

__all__ = ["DurablyTasksConfig"]


class DurablyTasksConfig(AppConfig):
    """Configures the application."""

    name: str = "durably_django.tasks"
    label: str = "durably_tasks"
    verbose_name: Any = "Durably tasks"

    def ready(self) -> None:
        """Serve the backends, so that their services are known before anything runs.

        Raises:
            ImproperlyConfigured: A backend of ours has options that cannot work, or there is no task framework.
        """
        if not getattr(settings, "TASKS", None):
            return
        from durably_django.tasks.backend import DurablyBackend
        from durably_django.tasks.framework import InvalidTaskBackend, task_backends
        from durably_django.tasks.services import service_of

        for alias in task_backends:
            try:
                backend = task_backends[alias]
            except InvalidTaskBackend:
                continue  # Django's own check reports it
            if isinstance(backend, DurablyBackend):
                service_of(alias, backend.task_options)
