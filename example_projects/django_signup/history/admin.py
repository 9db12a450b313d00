"""The history, in the admin pages: to be read only."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from history.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """Shows what was done."""

    list_display = ("at", "subject", "what", "repeats")
    list_filter = ("what",)
    search_fields = ("subject",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes history."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Nor rewrites it."""
        return False
