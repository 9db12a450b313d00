"""The outbox table: messages to handlers, stored with the rows that they belong to.

Owns the table; who writes it is `outbox.sending`, who empties it `outbox.relay`. A message that was sent is deleted:
what stands here is still to be sent. The model of invocations, which has no table, is in `permissions`.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models
from django.utils import timezone

from durably_django.permissions import Invocation

__all__ = ["Invocation", "OutboxMessage"]


class OutboxMessage(models.Model):
    """A message that leaves once its transaction has committed."""

    id: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now, editable=False)
    service: models.CharField[str, str] = models.CharField(max_length=255)
    handler: models.CharField[str, str] = models.CharField(max_length=255)
    key: models.TextField[str | None, str | None] = models.TextField(null=True, blank=True)
    body: models.BinaryField[bytes, bytes] = models.BinaryField(blank=True)
    content_type: models.CharField[str, str] = models.CharField(max_length=255, blank=True)
    headers: models.JSONField[dict[str, str], dict[str, str]] = models.JSONField(default=dict, blank=True)
    idempotency_key: models.CharField[str, str] = models.CharField(max_length=255)
    run_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True, blank=True)
    due_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(default=timezone.now, db_index=True)
    attempts: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=0)
    last_error: models.TextField[str, str] = models.TextField(blank=True)

    class Meta:
        """Says how the table is shown."""

        ordering: tuple[str, ...] = ("due_at",)
        verbose_name = "outbox message"

    def __str__(self) -> str:
        """Say where it goes."""
        return f"{self.service}/{self.handler}" + (f"[{self.key}]" if self.key is not None else "")
