"""The app for ASGI servers, as the how-to shows it: the engine lives in the lifespan, its client in the routes.

The object is made at the import, which may be before a fork; it is started in the worker.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.engine.workers.services import make_work, work_began

__all__ = ["app"]

_work = make_work(Path(os.environ["DURABLY_TEST_FOLDER"]))


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with _work.engine:
        work_began(_work)
        yield


async def _send(request: Request) -> JSONResponse:
    handler, key = request.path_params["handler"], request.path_params["key"]
    sent = await _work.engine.client().send(_work.handlers[handler], key, idempotency_key=key)
    return JSONResponse({"pid": os.getpid(), "value": sent.invocation_id}, 202)


async def _call(request: Request) -> JSONResponse:
    handler, key = request.path_params["handler"], request.path_params["key"]
    value = await _work.engine.client().call(_work.handlers[handler], key, idempotency_key=key)
    return JSONResponse({"pid": os.getpid(), "value": value})


app = Starlette(
    lifespan=_lifespan,
    routes=[
        Route("/{handler}/{key}/send", _send, methods=["POST"]),
        Route("/{handler}/{key}", _call, methods=["POST"]),
    ],
)
