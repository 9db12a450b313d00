"""Mail, as the shop sends it: over SMTP, with a message id that makes it arrive once."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Annotated

from fastapi import Depends

from shop.errors import MailRefusedError
from shop.settings import CurrentSettings

__all__ = ["CurrentPost", "Post", "get_post"]

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Post:
    """Where mail is handed in.

    Attributes:
        host: Of the mail server.
        port: And its port.
    """

    host: str
    port: int

    def send(self, *, to: str, subject: str, text: str, reference: str) -> None:
        """Send a mail; the same reference arrives once.

        Raises:
            MailRefusedError: The server does not take it for this address.
        """
        message = EmailMessage()
        message["From"] = "orders@shop.example"
        message["To"] = to
        message["Subject"] = subject
        message["Message-ID"] = f"<{reference}@shop.example>"
        message.set_content(text)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_SECONDS) as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            raise MailRefusedError(f"mail to {to} is refused") from refused


def get_post(settings: CurrentSettings) -> Post:
    """Give the mail server of the settings."""
    return Post(settings.smtp_host, settings.smtp_port)


CurrentPost = Annotated[Post, Depends(get_post)]
