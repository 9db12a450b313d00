"""The application."""

from django.apps import AppConfig


class HistoryConfig(AppConfig):
    """Configures it."""

    name = "history"
    verbose_name = "History"
