"""What can go wrong in a shop, and which answer it gets."""

from __future__ import annotations

from typing import ClassVar

from fastapi import Request
from fastapi.responses import JSONResponse

__all__ = ["CardDeclinedError", "MailRefusedError", "OutOfStockError", "ShopError", "answer"]


class ShopError(Exception):
    """Something that trying again does not change.

    Attributes:
        status: Of the HTTP answer.
    """

    status: ClassVar[int] = 400


class OutOfStockError(ShopError):
    """There are not as many as were ordered."""

    status = 409


class CardDeclinedError(ShopError):
    """The bank says no."""

    status = 402


class MailRefusedError(ShopError):
    """Nobody lives at this address."""

    status = 422


async def answer(_request: Request, error: Exception) -> JSONResponse:
    """Answer a request that ended in one of these."""
    status = error.status if isinstance(error, ShopError) else 500
    return JSONResponse({"detail": str(error)}, status)
