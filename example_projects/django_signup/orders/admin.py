"""Products and orders, in the admin pages."""

from __future__ import annotations

from django.contrib import admin

from orders.models import Order, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    """Shows what is on the shelf."""

    list_display = ("sku", "name", "cents", "in_stock")


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Shows orders; handlers change their state."""

    list_display = ("number", "buyer", "product", "quantity", "state", "placed_at")
    list_filter = ("state",)
    readonly_fields = ("state",)
