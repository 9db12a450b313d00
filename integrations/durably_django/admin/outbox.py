"""The outbox in Django's admin pages.

Owns the page: what stands in the outbox, why it has not left, and an action that tries it again. Bodies are not shown,
because they hold whatever the project sends. Permissions are Django's: `view`, `change` (for the action) and `delete`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
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
_NOTE_CHARS: Final = 120
_AGAIN: Final = "_try_again"


class _StateFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("new", "Not tried yet"), ("failing", "Failing")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
        match self.value():
            case "new":
                return queryset.filter(attempts=0)
            case "failing":
                return queryset.filter(attempts__gt=0)
            case _:
                return queryset


class OutboxMessageAdmin(_ModelAdmin):
    """Shows messages; they are written by code only, so none is added or edited here."""

    list_display: Any = ("__str__", "state", "attempts", "error", "created_at", "due_at")
    list_filter: ClassVar[Any] = (_StateFilter, "service", "handler")
    search_fields: ClassVar[Any] = ("key", "idempotency_key", "last_error")
    search_help_text: ClassVar[Any] = "A part of a key, of an idempotency key or of an error."
    show_full_result_count = False
    exclude: ClassVar[Any] = _HIDDEN
    actions: Any = ("try_again",)
    change_form_template: ClassVar[Any] = "durably_django/outbox_message.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds messages by hand."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: OutboxMessage | None = None) -> list[str]:
        """Give all fields: what was stored is sent as it was stored."""
        return [field.name for field in self.opts.fields if field.name not in _HIDDEN]

    @admin.display(description="status")
    def state(self, message: OutboxMessage) -> str:
        """Say how far it is."""
        if message.attempts:
            return "failing"
        return "due" if message.due_at <= timezone.now() else "being sent"

    @admin.display(description="last error", ordering="last_error")
    def error(self, message: OutboxMessage) -> str:
        """Say in one line why it has not left."""
        lines = message.last_error.splitlines()
        text = lines[0] if lines else ""
        return text if len(text) <= _NOTE_CHARS else text[:_NOTE_CHARS] + "…"

    @admin.action(description="Try again now", permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[OutboxMessage]) -> None:
        """Make messages due."""
        chosen = list(queryset)
        for message in chosen:
            self.log_change(request, message, "Tried again.")
        count = queryset.update(due_at=timezone.now())
        transaction.on_commit(relay.wake, using=queryset.db)
        what = "1 message is" if count == 1 else f"{count} messages are"
        self.message_user(request, f"{what} tried again.", messages.SUCCESS)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one message, with a button instead of those that save."""
        extra: dict[str, Any] = {"show_save": False, "show_save_and_continue": False, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra)

    def log_change(self, request: HttpRequest, obj: OutboxMessage, message: Any) -> Any:
        """Remember what was done; that nothing was edited is not worth a line."""
        return super().log_change(request, obj, message) if message else None

    def response_change(self, request: HttpRequest, obj: OutboxMessage) -> HttpResponse:
        """Do what the button of the page asks for."""
        if _AGAIN not in request.POST:
            return super().response_change(request, obj)
        self.try_again(request, self.get_queryset(request).filter(pk=obj.pk))
        return HttpResponseRedirect(request.path)
