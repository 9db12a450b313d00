"""Makes the permissions of invocations; no table."""

from collections.abc import Sequence
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """Makes the model that permissions are about."""

    dependencies: ClassVar[Sequence[tuple[str, str]]] = [("durably", "0001_initial")]

    operations: ClassVar[Sequence[Operation]] = [
        migrations.CreateModel(
            name="Invocation",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("target", models.TextField()),
            ],
            options={
                "verbose_name": "invocation",
                "managed": False,
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "permissions": (
                    ("cancel_invocation", "Can cancel invocation"),
                    ("kill_invocation", "Can kill invocation"),
                    ("pause_invocation", "Can pause invocation"),
                    ("resume_invocation", "Can resume invocation"),
                    ("restart_invocation", "Can restart invocation"),
                    ("purge_invocation", "Can purge invocation"),
                ),
            },
        ),
    ]
