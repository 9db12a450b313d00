"""What can be set from outside, read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Annotated

from fastapi import Depends

__all__ = ["CurrentSettings", "Settings", "get_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The shop's settings.

    Attributes:
        database: URL of the shop's own database, for SQLAlchemy.
        token_secret: What bearer tokens are signed with; at least 32 bytes.
        token_lifetime: How long a token is good for.
        bank_url: Where the payment provider is.
        smtp_host: Where mail is handed in.
        smtp_port: And its port.
        packing: How long an order is on the packing table.
        reminder_after: How long after an order its buyer is asked for a review.
    """

    database: str = "sqlite:///shop.db"
    token_secret: str = "only-for-development-0123456789abcdef"
    token_lifetime: timedelta = timedelta(hours=8)
    bank_url: str = "http://127.0.0.1:8101"
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 8125
    packing: timedelta = timedelta(minutes=20)
    reminder_after: timedelta = timedelta(days=7)


@lru_cache
def get_settings() -> Settings:
    """Read the variables that begin with `SHOP_`; what is not set has its default."""
    given = os.environ.get
    default = Settings()
    return Settings(
        database=given("SHOP_DATABASE", default.database),
        token_secret=given("SHOP_TOKEN_SECRET", default.token_secret),
        bank_url=given("SHOP_BANK_URL", default.bank_url),
        smtp_host=given("SHOP_SMTP_HOST", default.smtp_host),
        smtp_port=int(given("SHOP_SMTP_PORT", str(default.smtp_port))),
        packing=_seconds("SHOP_PACKING_SECONDS", default.packing),
        reminder_after=_seconds("SHOP_REMINDER_SECONDS", default.reminder_after),
    )


def _seconds(name: str, default: timedelta) -> timedelta:
    return timedelta(seconds=float(os.environ[name])) if name in os.environ else default


CurrentSettings = Annotated[Settings, Depends(get_settings)]
