"""The payment provider, as the shop sees it: requests over HTTP with a reference that makes each happen once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import httpx
from fastapi import Depends

from shop.errors import CardDeclinedError
from shop.settings import CurrentSettings

__all__ = ["Bank", "CurrentBank", "get_bank"]

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Bank:
    """A client of the provider.

    Attributes:
        url: Where it is.
    """

    url: str

    def charge(self, *, card: str, cents: int, reference: str) -> str:
        """Take money; the same reference takes it once.

        Returns:
            The provider's number of the payment.

        Raises:
            CardDeclinedError: The card cannot pay.
        """
        return self._ask("/payments", {"card": card, "cents": cents}, reference)

    def refund(self, *, payment: str, cents: int, reference: str) -> str:
        """Give money back; the same reference gives it back once."""
        return self._ask("/refunds", {"payment": payment, "cents": cents}, reference)

    def _ask(self, path: str, what: dict[str, object], reference: str) -> str:
        headers = {"idempotency-key": reference}
        answer = httpx.post(self.url + path, json=what, headers=headers, timeout=_TIMEOUT_SECONDS)
        if answer.status_code == httpx.codes.PAYMENT_REQUIRED:
            raise CardDeclinedError(answer.json()["detail"])
        return str(answer.raise_for_status().json()["id"])


def get_bank(settings: CurrentSettings) -> Bank:
    """Give the bank of the settings."""
    return Bank(settings.bank_url)


CurrentBank = Annotated[Bank, Depends(get_bank)]
