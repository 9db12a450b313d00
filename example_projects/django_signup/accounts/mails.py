"""The mails of a sign-up. Each has a `Message-ID` of its own: a mail server knows one that comes twice."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse

from accounts.models import SignUp

__all__ = ["confirmation_link", "read_link", "send"]

_SALT = "accounts.confirmation"


def confirmation_link(key: str, awakeable: str) -> str:
    """Make the link that confirms; signed, because only who reads the mail may."""
    token = signing.dumps({"key": key, "awakeable": awakeable}, salt=_SALT)
    return settings.BASE_URL + reverse("confirm", args=[token])


def read_link(token: str) -> tuple[str, str]:
    """Give the key of the sign-up and its awakeable.

    Raises:
        BadSignature: We did not make this link, or it is too old.
    """
    read = signing.loads(token, salt=_SALT, max_age=settings.SIGNUP_EXPIRES)
    return read["key"], read["awakeable"]


def send(key: str, kind: str, awakeable: str = "") -> None:
    """Send one of the mails in `templates/accounts/mails`."""
    sign_up = SignUp.objects.get(pk=key)
    link = confirmation_link(key, awakeable)
    subject, _, body = render_to_string(f"accounts/mails/{kind}.txt", {"sign_up": sign_up, "link": link}).partition(
        "\n"
    )
    headers = {"Message-ID": f"<{kind}-{key}@shop.example>"}
    EmailMessage(subject, body.strip() + "\n", to=[sign_up.email], headers=headers).send()
