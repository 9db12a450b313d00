"""A plain view that enqueues a task."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse

from tests.django.project.shop import tasks
from tests.django.project.shop.models import Entry


def enqueue(request: HttpRequest, name: str) -> HttpResponse:
    """Store an order, and enqueue its task, in one transaction."""
    with transaction.atomic():
        Entry.objects.create(text=f"order {name}")
        result = tasks.ship.enqueue(name)
    return JsonResponse({"id": result.id})
