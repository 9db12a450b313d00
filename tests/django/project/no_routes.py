"""A URL configuration without the routes of durably."""

from typing import Any

urlpatterns: list[Any] = []
