"""The application's configuration."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Has no migrations: its table is made with `migrate --run-syncdb`."""

    name = "tests.django.project.shop"
    label = "shop"
