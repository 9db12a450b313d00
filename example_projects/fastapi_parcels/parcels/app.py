"""The shop's FastAPI app. Two things were added for durability: the mount, and the call in `POST /orders`.

hypercorn parcels.app:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
from fastapi import FastAPI, HTTPException, Request

import durably
from parcels.fulfilment import Order, fulfilment, store

INGRESS = os.environ.get("RESTATE_INGRESS", "http://127.0.0.1:8080")
STOCK_FILE = Path(__file__).resolve().parent.parent / "stock.csv"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the routes share."""
    store.create(STOCK_FILE)
    async with httpx.AsyncClient(base_url=INGRESS, timeout=10) as ingress:
        app.state.ingress = ingress
        yield


app = FastAPI(title="Parcel shop", lifespan=lifespan)
app.mount("/restate", durably.app([fulfilment]))


@app.get("/stock")
def list_stock() -> list[dict[str, object]]:
    """What is on the shelves."""
    return store.rows("stock")


@app.get("/orders")
def list_orders() -> list[dict[str, object]]:
    """All orders and how they stand."""
    return store.rows("orders")


@app.post("/orders", status_code=202)
async def place_order(order: Order, request: Request) -> dict[str, str]:
    """Take an order; it is fulfilled in the background, once, however often it is sent."""
    key = quote(order.order_id, safe="")
    ingress: httpx.AsyncClient = request.app.state.ingress
    response = await ingress.post(
        f"/Fulfilment/{key}/fulfil/send",
        content=order.model_dump_json(),
        headers={"content-type": "application/json", "idempotency-key": order.order_id},
    )
    if response.is_error:
        raise HTTPException(502, f"the order could not be queued: {response.text}")
    store.accept(order.order_id, order.customer)
    return {"order_id": order.order_id, "invocation": response.json()["invocationId"]}


@app.get("/orders/{order_id}/stage")
async def order_stage(order_id: str, request: Request) -> dict[str, str]:
    """Where an order is right now."""
    ingress: httpx.AsyncClient = request.app.state.ingress
    response = await ingress.post(f"/Fulfilment/{quote(order_id, safe='')}/stage")
    return {"order_id": order_id, "stage": response.raise_for_status().json()}
