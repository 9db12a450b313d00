"""Sign-ups, in the admin pages."""

from __future__ import annotations

from django.contrib import admin

from accounts.models import SignUp


@admin.register(SignUp)
class SignUpAdmin(admin.ModelAdmin):
    """Shows sign-ups; the workflow changes them."""

    list_display = ("username", "email", "state", "created_at")
    list_filter = ("state",)
    search_fields = ("username", "email")
    readonly_fields = ("state", "user")
