"""What `bench.fastapi` serves: one endpoint with three steps, plain, with durably and with DBOS.

python -m bench.fastapi_apps durably DIRECTORY      prints its port
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

STEPS = ("reserve", "charge", "mail")


class Order(BaseModel):
    sku: str
    quantity: int


class Receipt(BaseModel):
    number: int
    done: list[str]


async def action(name: str) -> str:
    """Do what takes no time."""
    return name


def plain(directory: Path) -> FastAPI:
    """Make the app as it is without durability."""
    app = FastAPI()

    @app.post("/orders/{number}")
    async def place(number: int, order: Order) -> Receipt:
        return Receipt(number=number, done=[await action(name) for name in STEPS])

    return app


def durably(directory: Path) -> FastAPI:
    """Make it with a durable endpoint, on the embedded engine, its file with `synchronous=FULL`."""
    from durably import Context
    from durably_fastapi import Durably

    app = FastAPI()
    durable = Durably(app, url=f"sqlite:////{str(directory / 'durably.db').lstrip('/')}")

    async def place(number: int, order: Order, ctx: Any) -> Receipt:
        return Receipt(number=number, done=[await ctx.run_typed(name, action, name=name) for name in STEPS])

    place.__annotations__["ctx"] = Context
    app.post("/orders/{number}")(durable.endpoint(place))
    return app


def dbos(directory: Path) -> FastAPI:
    """Make it with an endpoint that calls a workflow of DBOS, on SQLite, with what DBOS has by default."""
    peer: Any = importlib.import_module("dbos").DBOS
    url = f"sqlite:////{str(directory / 'dbos.sqlite').lstrip('/')}"
    peer(config={"name": "bench", "system_database_url": url, "log_level": "CRITICAL"})
    step = peer.step()(action)

    async def work(number: int) -> list[str]:
        return [await step(name) for name in STEPS]

    workflow = peer.workflow()(work)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        peer.launch()
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders/{number}")
    async def place(number: int, order: Order) -> Receipt:
        return Receipt(number=number, done=await workflow(number))

    return app


APPS: dict[str, Callable[[Path], FastAPI]] = {each.__name__: each for each in (plain, durably, dbos)}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # no side pays for messages that nobody reads
    config = uvicorn.Config(APPS[sys.argv[1]](Path(sys.argv[2])), log_config=None, access_log=False)
    # Only where the protocol is named, asyncio sends at once; else each answer waits 40 ms for an acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(config).run([listening])
    os._exit(0)  # DBOS leaves threads that would keep the process
