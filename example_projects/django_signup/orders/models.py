"""What is sold, and who ordered it."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

__all__ = ["Order", "Product"]


class Product(models.Model):
    """Something on the shelf."""

    sku = models.SlugField(primary_key=True)
    name = models.CharField(max_length=100)
    cents = models.PositiveIntegerField()
    in_stock = models.PositiveIntegerField()

    class Meta:
        """The table."""

        ordering = ("sku",)

    def __str__(self) -> str:
        """Say what it is."""
        return self.name


class Order(models.Model):
    """One order."""

    class State(models.TextChoices):
        """How far it got."""

        PLACED = "placed"
        SHIPPED = "shipped"
        RETURNED = "returned"

    number = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(20)])
    state = models.CharField(max_length=10, choices=State, default=State.PLACED)
    placed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        """The table."""

        ordering = ("placed_at",)

    def __str__(self) -> str:
        """Say what was ordered."""
        return f"{self.quantity} {self.product.sku}"

    @property
    def cents(self) -> int:
        """What it costs."""
        return self.quantity * self.product.cents
