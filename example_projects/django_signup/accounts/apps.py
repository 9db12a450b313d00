"""The application."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Configures it."""

    name = "accounts"
    verbose_name = "Accounts"
