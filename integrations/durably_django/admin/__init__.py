"""Durably in Django's admin pages: invocations and the outbox.

Owns what is registered with the default site. Another site takes the same classes:

    site.register(Invocation, InvocationAdmin)
    site.register(OutboxMessage, OutboxMessageAdmin)
"""

from __future__ import annotations

from django.contrib import admin

from durably_django.admin.invocations import InvocationAdmin
from durably_django.admin.outbox import OutboxMessageAdmin
from durably_django.models import Invocation, OutboxMessage

__all__ = ["InvocationAdmin", "OutboxMessageAdmin"]

admin.site.register(Invocation, InvocationAdmin)
admin.site.register(OutboxMessage, OutboxMessageAdmin)
