"""Durable handlers for Django: views, services, and messages that leave with the transaction.

    INSTALLED_APPS += ["durably_django"]
    urlpatterns += [path("restate/", include("durably_django.urls"))]

    @durable
    def place(request, order_id, ctx: SyncContext): ...

Services, objects and workflows that stand in the `durable` module of an installed app are served. Owns the public
names; they are imported on use, because Django imports this package before its applications are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durably_django.access import bind, client, sync_client
    from durably_django.decorating import durable
    from durably_django.outbox.sending import send_on_commit

__all__ = ["bind", "client", "durable", "send_on_commit", "sync_client"]

__durably_setup__ = "django:setup"
"""What another process has to call before it imports modules with handlers; the test kit does."""

_PLACES = {
    "bind": "durably_django.access",
    "client": "durably_django.access",
    "durable": "durably_django.decorating",
    "send_on_commit": "durably_django.outbox.sending",
    "sync_client": "durably_django.access",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
