"""The shop's FastAPI app. Two things were added for durability: the runtime in the lifespan, the calls in the routes.

    uvicorn parcels.app:app

The runtime is the engine inside this process. With `PARCELS_RESTATE_URL` it is the Restate Server whose ingress that
is, and the app serves its handlers below `/restate`, where the server calls them. Nothing else is different.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request

import durably
from parcels.fulfilment import Order, fulfil, fulfilment, stage, store

RESTATE_URL = os.environ.get("PARCELS_RESTATE_URL")
STOCK_FILE = Path(__file__).resolve().parent.parent / "stock.csv"


@asynccontextmanager
async def embedded() -> AsyncIterator[durably.RestateClient]:
    """Run the engine in this process, and give a client of it."""
    async with durably.Engine(f"sqlite:///{store.directory / 'durably.db'}", services=[fulfilment]) as engine:
        yield engine.client()


def runtime() -> AbstractAsyncContextManager[durably.RestateClient]:
    """Give what runs the handlers: the engine, or a server elsewhere."""
    return embedded() if RESTATE_URL is None else durably.create_client(RESTATE_URL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the routes share."""
    store.create(STOCK_FILE)
    async with runtime() as client:
        app.state.client = client
        yield


app = FastAPI(title="Parcel shop", lifespan=lifespan)
if RESTATE_URL is not None:
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
    client: durably.RestateClient = request.app.state.client
    try:
        sent = await client.object_send(fulfil, order.order_id, order, idempotency_key=order.order_id)
    except durably.DurablyError as problem:
        raise HTTPException(503, "the order could not be taken now, please send it again") from problem
    store.accept(order.order_id, order.customer)
    return {"order_id": order.order_id, "invocation": sent.invocation_id}


@app.get("/orders/{order_id}/stage")
async def order_stage(order_id: str, request: Request) -> dict[str, str]:
    """Where an order is right now."""
    client: durably.RestateClient = request.app.state.client
    return {"order_id": order_id, "stage": await client.object_call(stage, order_id, None)}
