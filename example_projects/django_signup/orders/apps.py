"""The application."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Configures it."""

    name = "orders"
    verbose_name = "Orders"
