"""What the shop stores: one row for each thing that a view or a step did."""

from django.db import models


class Entry(models.Model):
    """Something that happened."""

    text = models.CharField(max_length=200)

    class Meta:
        """Belongs to the shop, whatever module it stands in."""

        app_label = "shop"

    def __str__(self) -> str:
        """Say what happened."""
        return self.text
