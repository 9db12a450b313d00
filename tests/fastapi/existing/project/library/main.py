"""The application."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware

from library import loans
from library.storage import OutOfCopies, Shelf, opened

lives: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Open the shelf."""
    lives.append("open")
    app.state.shelf = Shelf()
    opened.append(app.state.shelf)
    yield {"greeting": "hello"}
    lives.append("closed")


class CountRequests(BaseHTTPMiddleware):
    """Numbers the requests."""

    def __init__(self, app: FastAPI) -> None:
        """Begin at one."""
        super().__init__(app)
        self._numbers = itertools.count(1)

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Handle one."""
        request.state.number = next(self._numbers)
        response = await call_next(request)
        response.headers["x-request-number"] = str(request.state.number)
        return response


app = FastAPI(title="Library", lifespan=lifespan)
app.add_middleware(CountRequests)
app.add_middleware(GZipMiddleware, minimum_size=200)
app.add_middleware(CORSMiddleware, allow_origins=["https://library.example"], allow_methods=["*"])
app.include_router(loans.router, prefix="/v1")

legacy = FastAPI(title="Old API")
app.mount("/old", legacy)


@app.exception_handler(OutOfCopies)
async def out_of_copies(request: Request, error: OutOfCopies) -> JSONResponse:
    """Tell the reader."""
    return JSONResponse({"error": str(error), "isbn": error.isbn}, status_code=409)


@app.middleware("http")
async def forbid_robots(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Send robots away."""
    if request.headers.get("user-agent") == "robot":
        return JSONResponse({"error": "readers only"}, status_code=403)
    return await call_next(request)


@app.get("/catalogue")
def catalogue(request: Request) -> list[str]:
    """List every book, long enough to be compressed."""
    return [f"978-{number}: {request.state.greeting}" for number in range(50)]


@app.get("/broken")
def broken() -> None:
    """Fail as programs do."""
    raise RuntimeError("the roof leaks")


@app.websocket("/desk")
async def desk(socket: WebSocket) -> None:
    """Answer questions."""
    await socket.accept()
    await socket.send_text(f"you said {await socket.receive_text()}")
    await socket.close()


@legacy.get("/books")
def old_books() -> list[str]:
    """List books as it used to be."""
    return ["978-0"]
