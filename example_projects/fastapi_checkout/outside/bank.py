"""The payment provider: `POST /payments` and `POST /refunds`, each with an `Idempotency-Key`.

Cards decide what happens: `…-0402` is declined, `…-0503` meets a provider that is busy the first two times.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

from outside.effects import EffectsLog

__all__ = ["make_bank"]

_BUSY_TIMES = 2


class Payment(BaseModel):
    """Money to take."""

    card: str
    cents: int


class Refund(BaseModel):
    """Money to give back."""

    payment: str
    cents: int


def make_bank(effects: EffectsLog, answers_after_seconds: float = 0.05) -> FastAPI:
    """Give a provider that writes to this log and takes its time."""
    bank = FastAPI()
    asked: Counter[str] = Counter()

    @bank.post("/payments")
    async def pay(payment: Payment, idempotency_key: Annotated[str, Header()]) -> dict[str, str]:
        await asyncio.sleep(answers_after_seconds)
        asked[idempotency_key] += 1
        if payment.card.endswith("-0402"):
            raise HTTPException(402, f"card {payment.card} is declined")
        if payment.card.endswith("-0503") and asked[idempotency_key] <= _BUSY_TIMES:
            raise HTTPException(503, "try again")
        effects.add("payment", idempotency_key, payment.card, payment.cents)
        return {"id": number_of(idempotency_key)}

    @bank.post("/refunds")
    async def give_back(refund: Refund, idempotency_key: Annotated[str, Header()]) -> dict[str, str]:
        await asyncio.sleep(answers_after_seconds)
        effects.add("refund", idempotency_key, refund.payment, refund.cents)
        return {"id": number_of(idempotency_key)}

    return bank


def number_of(key: str) -> str:
    """Give the number that the provider has for a key, always the same."""
    return "P-" + hashlib.sha256(key.encode()).hexdigest()[:10]
