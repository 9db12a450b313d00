"""Makes the table of the history."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes it."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(help_text="a sign-up or an order", max_length=100)),
                ("what", models.CharField(max_length=50)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("repeats", models.PositiveIntegerField(default=0, help_text="how often it was asked for once more")),
            ],
            options={
                "verbose_name_plural": "entries",
                "ordering": ("at", "pk"),
                "constraints": [models.UniqueConstraint(fields=("subject", "what"), name="once")],
            },
        ),
    ]
