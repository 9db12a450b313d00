"""What the servers serve: a Flask application with durable views of every kind, and with functions around requests.

`PROBE_NAME` makes the names of its services unique, so that several of these can be registered with one Restate
Server. `PROBE_LEDGER` is a file to which every action appends a line: it shows what ran, and how often.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue
from flask.wrappers import Response

from durably import InvocationRetryPolicy, SyncContext, SyncObjectContext, SyncWorkflowContext, TerminalError
from durably_flask import Durably, identity
from durably_flask.asgi import asgi

NAME = os.environ["PROBE_NAME"]
LEDGER = os.environ["PROBE_LEDGER"]
SOON = InvocationRetryPolicy(initial_interval=timedelta(milliseconds=50), max_interval=timedelta(milliseconds=400))


def note(line: str) -> None:
    """Append a line to the ledger, whole, whichever process writes."""
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def customer() -> str | None:
    """Give the caller; runs once, when the call arrives."""
    scheme, _, name = request.headers.get("Authorization", "").partition(" ")
    return name if scheme == "Bearer" else None


app = Flask(__name__)
durably = Durably(app, identity=customer)


@app.before_request
def authenticate() -> None:
    """Let nobody in whose name is unknown."""
    if request.path.startswith("/orders") and customer() is None:
        abort(401)


@app.after_request
def stamp(response: Response) -> Response:
    """Mark every answer of the application, once."""
    response.headers.add("x-stamp", "seen")
    return response


@app.post("/orders/<order_id>")
@durably.endpoint(service=f"orders_{NAME}", invocation_retry_policy=SOON)
def place(order_id: str, ctx: SyncContext) -> ResponseReturnValue:
    """Reserve, charge and ship, with pauses in between."""
    order: dict[str, Any] = request.get_json()
    if order.get("quantity", 1) > 100:
        raise TerminalError("there are not that many", status_code=409)
    for action in ("reserve", "charge", "ship"):
        ctx.run_typed(action, note, line=f"{order_id} {action}")
        if order.get("pauses_ms"):
            ctx.sleep(timedelta(milliseconds=order["pauses_ms"]))
    return {"order_id": order_id, "customer": str(identity), "total": order.get("quantity", 1) * 7}, 201


@app.post("/naps/<nap_id>")
@durably.endpoint(service=f"naps_{NAME}")
def nap(nap_id: str, ctx: SyncContext) -> str:
    """Wait as long as the caller says."""
    ctx.sleep(timedelta(seconds=request.args.get("seconds", 1.0, float)))
    return nap_id


@app.post("/carts/<cart_id>/items")
@durably.endpoint(key="cart_id", service=f"carts_{NAME}")
def add_item(cart_id: str, ctx: SyncObjectContext) -> str:
    """Add to a cart; gives what is in it."""
    total = (ctx.get("total", type_hint=int) or 0) + int(request.form["quantity"])
    ctx.set("total", total)
    return str(total)


@app.post("/approvals/<request_id>")
@durably.endpoint(workflow=True, key="request_id", service=f"approvals_{NAME}", invocation_retry_policy=SOON)
def approve(request_id: str, ctx: SyncWorkflowContext) -> str:
    """Ask somebody, and wait for the answer."""
    awakeable_id, answer = ctx.start.awakeable(type_hint=str)
    ctx.run_typed("ask", note, line=f"{request_id} asked {awakeable_id}")
    return f"{request_id}: {answer.result()}"


@app.post("/answers/<awakeable_id>")
def answer(awakeable_id: str) -> str:
    """Answer what a workflow asked, from an ordinary view."""
    durably.client.resolve_awakeable(awakeable_id, request.form["text"])
    return "thanks"


@app.post("/refunds/<int:amount>")
@durably.endpoint(service=f"refunds_{NAME}")
def refund(amount: int) -> str:
    """Refuse in both ways that there are."""
    if amount > 100:
        abort(422, "too much")
    raise TerminalError("no refunds", status_code=451)


@app.get("/process")
def process() -> dict[str, object]:
    """Tell about this process."""
    engine = durably.link.engine
    return {"pid": os.getpid(), "is_driving": engine is not None and engine.is_driving}


asgi_app = asgi(app)
