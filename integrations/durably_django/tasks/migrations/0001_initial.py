"""Makes the table of the tasks."""

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
            name="TaskRecord",
            fields=[
                ("id", models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ("backend", models.CharField(max_length=255)),
                ("task", models.TextField()),
                ("queue_name", models.CharField(max_length=255)),
                ("run_after", models.DateTimeField(blank=True, null=True)),
                ("arguments", models.TextField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("READY", "Ready"),
                            ("RUNNING", "Running"),
                            ("FAILED", "Failed"),
                            ("SUCCESSFUL", "Successful"),
                        ],
                        default="READY",
                        max_length=10,
                    ),
                ),
                ("return_value", models.TextField(default="null")),
                ("errors", models.TextField(default="[]")),
                ("worker_ids", models.TextField(default="[]")),
                ("failed_attempts", models.PositiveIntegerField(default=0)),
                ("enqueued_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("last_attempted_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, db_index=True, null=True)),
            ],
            options={
                "verbose_name": "task",
                "ordering": ("-enqueued_at",),
            },
        ),
    ]
