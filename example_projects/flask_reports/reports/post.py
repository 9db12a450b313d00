"""Mail. The reference of a mail is its `Message-ID`, by which a mail server knows one that it has seen."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

from flask import Flask, current_app

__all__ = ["Post"]

_TIMEOUT_SECONDS = 10


class Post:
    """Hands mails to the server of the configuration."""

    def init_app(self, app: Flask) -> None:
        """Take over an application."""
        app.extensions["post"] = self

    def send(self, *, to: str, subject: str, text: str, reference: str) -> None:
        """Hand in one mail; once for each reference."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "reports@home.example", to, subject
        mail["Message-ID"] = f"<{reference}@reports.home.example>"
        mail.set_content(text)
        server = (current_app.config["MAIL_HOST"], current_app.config["MAIL_PORT"])
        with smtplib.SMTP(*server, timeout=_TIMEOUT_SECONDS) as smtp:
            smtp.send_message(mail)
