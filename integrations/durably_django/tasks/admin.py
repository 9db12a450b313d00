"""Tasks in Django's admin pages: what was enqueued, and what came of it. Nothing is added or edited there.

Owns the page. Arguments and results are not shown, because they hold whatever the project passes. Permissions are
Django's: `view` and `delete`. A task that is deleted before it ran is not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin

from durably_django.tasks.models import TaskRecord

if TYPE_CHECKING:
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[TaskRecord]
else:
    _ModelAdmin = admin.ModelAdmin

__all__ = ["TaskRecordAdmin"]


@admin.register(TaskRecord)
class TaskRecordAdmin(_ModelAdmin):
    """Shows tasks."""

    list_display: Any = (
        "task",
        "status",
        "queue_name",
        "enqueued_at",
        "started_at",
        "finished_at",
        "failed_attempts",
    )
    list_filter: ClassVar[Any] = ("status", "queue_name", "backend")
    search_fields: ClassVar[Any] = ("id", "task")
    exclude: ClassVar[Any] = ("arguments", "return_value")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tasks are enqueued by code."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TaskRecord | None = None) -> bool:
        """What was stored runs as it was stored."""
        return False
