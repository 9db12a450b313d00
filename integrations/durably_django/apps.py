"""The Django application `durably_django`.

Owns what happens when Django has loaded all applications: their `durable` modules are imported, the checks are
registered, and the first request of a serving process is waited for.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import request_started

from durably.web.looking import look_later

__all__ = ["DurablyConfig"]


class DurablyConfig(AppConfig):
    """Configures the application."""

    name = "durably_django"
    label = "durably"
    verbose_name: Any = "Durably"
    default_auto_field: Any = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Find services, and stand by for requests."""
        from durably_django.checks import register_checks
        from durably_django.discovery import find_services
        from durably_django.runtime import runtime

        register_checks()
        runtime.bind(*find_services())
        look_later(runtime.look)
        request_started.connect(runtime.start_for_request, dispatch_uid="durably-start")
