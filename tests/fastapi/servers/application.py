"""What the servers serve: a shop with durable endpoints of every kind, behind the middleware that applications have.

`PROBE_NAME` makes the names of its services unique, so that several of these can be registered with one Restate
Server. `PROBE_LEDGER` is a file to which every action appends a line: it shows what ran, and how often.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware

from durably import Context, ObjectContext, SyncContext, TerminalError, WorkflowContext
from durably_fastapi import DurableBackgroundTasks, DurableClient, Durably

NAME = os.environ["PROBE_NAME"]
LEDGER = os.environ["PROBE_LEDGER"]


def note(line: str) -> None:
    """Append a line to the ledger, whole, whichever process writes."""
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


class Order(BaseModel):
    """What a customer orders."""

    sku: str
    quantity: int = 1
    pauses_ms: int = 0


class Receipt(BaseModel):
    """What a customer gets."""

    order_id: str
    customer: str
    total: int
    note: str | None = None


def customer(authorization: Annotated[str, Header()]) -> str:
    """Give the caller; runs once, when the call arrives."""
    if not authorization.startswith("Bearer "):
        raise HTTPException(401, "who are you?")
    return authorization.removeprefix("Bearer ")


class Stamp(BaseHTTPMiddleware):
    """Marks every answer of the application, and nothing else."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Handle one request."""
        response = await call_next(request)
        response.headers["x-stamp"] = "seen"
        return response


app = FastAPI()
durably = Durably(app)
app.add_middleware(Stamp)
app.add_middleware(GZipMiddleware, minimum_size=10)
app.add_middleware(CORSMiddleware, allow_origins=["*"])


@app.post("/orders/{order_id}", response_model_exclude_none=True)
@durably.endpoint(service=f"orders_{NAME}")
async def place(order_id: str, order: Order, who: Annotated[str, Depends(customer)], ctx: Context) -> Receipt:
    """Reserve, charge and ship, with pauses in between."""
    if order.quantity > 100:
        raise TerminalError("there are not that many", status_code=409)
    for action in ("reserve", "charge", "ship"):
        await ctx.run_typed(action, note, line=f"{order_id} {action}")
        if order.pauses_ms:
            await ctx.sleep(timedelta(milliseconds=order.pauses_ms))
    return Receipt(order_id=order_id, customer=who, total=order.quantity * 7)


@app.post("/blocking/{order_id}", status_code=201)
@durably.endpoint(service=f"blocking_{NAME}")
def place_blocking(order_id: str, order: Order, ctx: SyncContext) -> Receipt:
    """Do the same in a thread."""
    for action in ("reserve", "charge"):
        ctx.run_typed(action, note, line=f"{order_id} {action}")
        ctx.sleep(timedelta(milliseconds=order.pauses_ms))
    return Receipt(order_id=order_id, customer="anyone", total=order.quantity)


@app.post("/carts/{cart_id}/items")
@durably.endpoint(key="cart_id", service=f"carts_{NAME}")
async def add_item(cart_id: str, quantity: int, ctx: ObjectContext) -> int:
    """Add to a cart; gives what is in it."""
    total = (await ctx.get("total", type_hint=int) or 0) + quantity
    ctx.set("total", total)
    return total


@app.post("/approvals/{request_id}")
@durably.endpoint(workflow=True, key="request_id", service=f"approvals_{NAME}")
async def approve(request_id: str, ctx: WorkflowContext) -> str:
    """Ask somebody, and wait for the answer."""
    awakeable_id, answer = ctx.awakeable(type_hint=str)
    await ctx.run_typed("ask", note, line=f"{request_id} asked {awakeable_id}")
    return f"{request_id}: {await answer}"


@app.post("/answers/{awakeable_id}")
async def answer(awakeable_id: str, text: str, client: DurableClient) -> None:
    """Answer what a workflow asked, from an ordinary endpoint."""
    await client.resolve_awakeable(awakeable_id, text)


@app.post("/refunds")
@durably.endpoint(service=f"refunds_{NAME}")
async def refund(amount: int) -> int:
    """Refuse in both ways that there are."""
    if amount > 100:
        raise HTTPException(402, "too much", headers={"x-limit": "100"})
    raise TerminalError("no refunds", status_code=451)


@durably.task(service=f"letters_{NAME}")
def write_letter(address: str, words: list[str]) -> None:
    """Write a letter, in the background."""
    note(f"{address} {' '.join(words)}")


@app.post("/letters/{address}")
async def order_letter(address: str, tasks: DurableBackgroundTasks, fails: bool = False) -> str:
    """Take an order for a letter."""
    tasks.add_task(write_letter, address, words=["dear", "reader"])
    if fails:
        raise HTTPException(418, "no tea, no letter")
    return "soon"


@app.get("/process")
async def process() -> dict[str, object]:
    """Tell about this process."""
    engine = durably.link.engine
    return {
        "pid": os.getpid(),
        "is_driving": engine is not None and engine.is_driving,
        "tasks": len(asyncio.all_tasks()),
    }
