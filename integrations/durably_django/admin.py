"""The outbox in Django's admin pages.

Owns the page: what stands in the outbox, why it has not left, and an action that tries it again. Bodies are not shown,
because they hold whatever the project sends. Permissions are Django's: `view`, `change` (for the action) and `delete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.utils import timezone

from durably_django.models import OutboxMessage
from durably_django.outbox.relay import relay

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    _ModelAdmin = admin.ModelAdmin[OutboxMessage]
else:
    _ModelAdmin = admin.ModelAdmin

__all__ = ["OutboxMessageAdmin"]

_HIDDEN: Final = ("body", "headers")


@admin.register(OutboxMessage)
class OutboxMessageAdmin(_ModelAdmin):
    """Shows messages; they are written by code only, so none is added or edited here."""

    list_display = ("__str__", "created_at", "due_at", "attempts", "last_error")
    list_filter = ("service", "handler")
    search_fields = ("key", "idempotency_key", "last_error")
    exclude = _HIDDEN
    actions = ("try_again",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds messages by hand."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: OutboxMessage | None = None) -> list[str]:
        """Give all fields: what was stored is sent as it was stored."""
        return [field.name for field in self.opts.fields if field.name not in _HIDDEN]

    @admin.action(description="Try again now", permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        """Make messages due."""
        count: Any = queryset.update(due_at=timezone.now())
        relay.wake()
        self.message_user(request, f"{count} messages are tried again.", messages.SUCCESS)
