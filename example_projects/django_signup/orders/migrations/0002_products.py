"""Fills the shelf."""

from typing import Any

from django.db import migrations

PRODUCTS = (("mug", "Mug", 1450, 200), ("lantern", "Lantern", 4300, 60), ("compass", "Compass", 2900, 4))


def fill(apps: Any, schema_editor: Any) -> None:
    """Put the products there that are not."""
    product = apps.get_model("orders", "Product")
    for sku, name, cents, in_stock in PRODUCTS:
        product.objects.get_or_create(sku=sku, defaults={"name": name, "cents": cents, "in_stock": in_stock})


class Migration(migrations.Migration):
    """Fills it."""

    dependencies = [("orders", "0001_initial")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
