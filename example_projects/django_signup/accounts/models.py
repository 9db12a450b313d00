"""Sign-ups: what somebody wrote into the form, and how far it got."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

__all__ = ["SignUp"]


class SignUp(models.Model):
    """One sign-up. The workflow of the same key takes it from one state to the next."""

    class State(models.TextChoices):
        """How far it got."""

        RECEIVED = "received"
        WAITING = "waiting", "waiting for confirmation"
        CONFIRMED = "confirmed"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(max_length=150)
    email = models.EmailField()
    password = models.CharField(max_length=128, editable=False, help_text="hashed, and empty when the account has it")
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    created_at = models.DateTimeField(auto_now_add=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)

    class Meta:
        """The table."""

        ordering = ("created_at",)
        verbose_name = "sign-up"
        constraints = (
            models.UniqueConstraint(fields=("username",), condition=~Q(state="expired"), name="one_of_a_name"),
        )

    def __str__(self) -> str:
        """Say whose it is."""
        return self.username
