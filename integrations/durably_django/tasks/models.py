"""The table of tasks: what was enqueued, how far it is, and what came of it.

Owns the table; `records` writes it. JSON stands in text columns, escaped to ASCII, so that each database takes
whatever JSON can say.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone

__all__ = ["TaskRecord"]


class TaskRecord(models.Model):
    """A task that was enqueued; its primary key is the id of the result."""

    class Status(models.TextChoices):
        """Where it stands; the values are those of Django's `TaskResultStatus`."""

        READY = "READY"
        RUNNING = "RUNNING"
        FAILED = "FAILED"
        SUCCESSFUL = "SUCCESSFUL"

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=64, editable=False)
    backend: models.CharField[str, str] = models.CharField(max_length=255)
    task: models.TextField[str, str] = models.TextField()
    queue_name: models.CharField[str, str] = models.CharField(max_length=255)
    run_after: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)
    arguments: models.TextField[str, str] = models.TextField()
    status: models.CharField[str, str] = models.CharField(max_length=10, choices=Status.choices, default=Status.READY)
    return_value: models.TextField[str, str] = models.TextField(default="null")
    errors: models.TextField[str, str] = models.TextField(default="[]")
    worker_ids: models.TextField[str, str] = models.TextField(default="[]")
    failed_attempts: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    enqueued_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now)
    started_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)
    last_attempted_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True, blank=True
    )
    finished_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        null=True, blank=True, db_index=True
    )

    class Meta:
        """Says how the table is shown."""

        ordering: tuple[str, ...] = ("-enqueued_at",)
        verbose_name: str = "task"

    def __str__(self) -> str:
        """Say which task."""
        return f"{self.task} {self.id}"

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in (self.Status.FAILED, self.Status.SUCCESSFUL)
