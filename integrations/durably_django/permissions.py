"""Who may look at invocations, and act on them, in the admin pages.

Owns a model without a table: Django keeps permissions, and the history of the admin pages, by model. Invocations
themselves are in the runtime; so the model has no rows, and says so to whoever asks for all rows of all models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db import models

if TYPE_CHECKING:
    from django.db.models import QuerySet

    _Manager = models.Manager["Invocation"]
else:
    _Manager = models.Manager

__all__ = ["Invocation"]


class _NoRows(_Manager):
    """Has nothing, without asking the database."""

    def get_queryset(self) -> QuerySet[Invocation]:
        return super().get_queryset().none()


class Invocation(models.Model):
    """An invocation, as far as Django has to know it: for permissions and for the history."""

    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=255)
    target: models.TextField[str, str] = models.TextField()

    objects: ClassVar[_NoRows] = _NoRows()

    class Meta:
        """Says which permissions there are."""

        managed = False
        base_manager_name = "objects"
        default_permissions: tuple[str, ...] = ("view",)
        permissions: tuple[tuple[str, str], ...] = (
            ("cancel_invocation", "Can cancel invocation"),
            ("kill_invocation", "Can kill invocation"),
            ("pause_invocation", "Can pause invocation"),
            ("resume_invocation", "Can resume invocation"),
            ("restart_invocation", "Can restart invocation"),
            ("purge_invocation", "Can purge invocation"),
        )
        verbose_name = "invocation"

    def __str__(self) -> str:
        """Say what runs."""
        return f"{self.target} {self.id}"
