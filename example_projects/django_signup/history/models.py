"""One row for each thing that was done.

`note` stands inside the transaction of what it is about. A step of a handler can be repeated, if the process died after
the transaction and before the journal knew of it; then the row says so, and the step does nothing.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils import timezone

__all__ = ["Entry", "note"]


class Entry(models.Model):
    """Something that was done."""

    subject = models.CharField(max_length=100, help_text="a sign-up or an order")
    what = models.CharField(max_length=50)
    at = models.DateTimeField(default=timezone.now)
    repeats = models.PositiveIntegerField(default=0, help_text="how often it was asked for once more")

    class Meta:
        """The table."""

        ordering = ("at", "pk")
        verbose_name_plural = "entries"
        constraints = (models.UniqueConstraint(fields=("subject", "what"), name="once"),)

    def __str__(self) -> str:
        """Say what was done."""
        return f"{self.subject}: {self.what}"


def note(subject: object, what: str) -> bool:
    """Write down that something is done, in the caller's transaction; gives whether it is new.

    If it is not, it was done by an attempt that died before it could say so.
    """
    entry, is_new = Entry.objects.get_or_create(subject=str(subject), what=what)
    if not is_new:
        Entry.objects.filter(pk=entry.pk).update(repeats=F("repeats") + 1)
    return is_new
