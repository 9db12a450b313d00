"""Makes the table of the outbox."""

import uuid
from collections.abc import Sequence
from typing import ClassVar

import django.utils.timezone
from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Makes the table."""

    initial: ClassVar[bool | None] = True

    dependencies: ClassVar[Sequence[tuple[str, str]]] = []

    operations: ClassVar[Sequence[Operation]] = [
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("service", models.CharField(max_length=255)),
                ("handler", models.CharField(max_length=255)),
                ("key", models.TextField(blank=True, null=True)),
                ("body", models.BinaryField(blank=True)),
                ("content_type", models.CharField(blank=True, max_length=255)),
                ("headers", models.JSONField(blank=True, default=dict)),
                ("idempotency_key", models.CharField(max_length=255)),
                ("run_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "outbox message",
                "ordering": ("due_at",),
            },
        ),
    ]
