"""The page of HTTP rules: what it says of failures, of polling, and of what cannot be durable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, Response, UploadFile, WebSocket
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, SecretStr

from durably import Context, TerminalError
from durably.errors import RegistrationError
from durably_fastapi import Durably

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http.md"


class ShopError(Exception):
    """What the app has an exception handler for."""


class Count(BaseModel):
    """Something that can be invalid."""

    number: int


def failing(kind: str) -> str:
    """Raise what the page has a row for.

    Raises:
        Exception: Of the kind that was asked for.
    """
    match kind:
        case "terminal":
            raise TerminalError("no", status_code=402)
        case "http":
            raise HTTPException(403, {"why": "closed"}, {"x-why": "closed"})
        case "own":
            raise ShopError("sold out")
        case "listed":
            raise KeyError("mug")
        case "odd":
            raise TerminalError("odd", status_code=302)
        case _:
            return str(Count.model_validate({"number": "x"}))


@pytest.fixture
def app() -> FastAPI:
    """An app whose endpoint fails as it is told to."""
    made = FastAPI()
    durably = Durably(made, url="memory://", failures={KeyError: 404}, max_upload_bytes=10)

    @made.exception_handler(ShopError)
    async def sold_out(request: Request, error: ShopError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409, {"x-shop": "yes"})

    @made.post("/fail")
    @durably.endpoint
    async def fail(kind: str, ctx: Context) -> str:
        return failing(kind)

    @made.post("/files")
    @durably.endpoint
    async def upload(file: UploadFile) -> int:
        return len(await file.read())

    return made


def test_failures(app: FastAPI):
    """Each row of the table of failures gives the answer that it names, on the call and for those who poll."""
    expected: dict[str, tuple[int, Any]] = {
        "terminal": (402, {"detail": "no"}),
        "http": (403, {"detail": {"why": "closed"}}),
        "own": (409, {"error": "sold out"}),
        "listed": (404, {"detail": "'mug'"}),
        "odd": (500, {"detail": "odd"}),
    }
    with TestClient(app) as client:
        for kind, answer in expected.items():
            failed = client.post("/fail", params={"kind": kind})
            assert (failed.status_code, failed.json()) == answer
            assert failed.headers["x-durably-invocation-id"].startswith("inv_1")
            waited = client.post("/fail", params={"kind": kind}, headers={"prefer": "respond-async"})
            polled = client.get(waited.headers["location"], headers={"prefer": "wait=5"})
            assert (polled.status_code, polled.json()) == answer
        assert client.post("/fail", params={"kind": "http"}).headers["x-why"] == "closed"
        assert client.post("/fail", params={"kind": "own"}).headers["x-shop"] == "yes"
        assert client.post("/fail", params={"kind": "invalid"}).status_code == 422


def test_limits(app: FastAPI):
    """A file over the limit is a 413, and a result that there is not a 404 that is always the same."""
    with TestClient(app) as client:
        assert client.post("/files", files={"file": b"x" * 10}).json() == 10
        assert client.post("/files", files={"file": b"x" * 11}).status_code == 413
        unknown = [client.get(f"/restate/results/{token}") for token in ("a", "inv_1abc", "AAAA.BBBB")]
        assert {(answer.status_code, answer.text) for answer in unknown} == {(404, unknown[0].text)}


async def with_request(request: Request) -> str:
    """Ask for the request."""
    return request.url.path


async def with_response(response: Response) -> str:
    """Ask for the response."""
    return str(response.status_code)


async def with_tasks(tasks: BackgroundTasks) -> str:
    """Ask for tasks in memory."""
    return str(tasks)


async def with_stream() -> StreamingResponse:
    """Give a stream."""
    return StreamingResponse(iter(()))


async def with_file() -> FileResponse:
    """Give a file."""
    return FileResponse("/dev/null")


async def with_socket(socket: WebSocket) -> None:
    """Ask for a socket."""


async def with_secret(secret: SecretStr) -> str:
    """Ask for what is not written down."""
    return str(secret)


@pytest.mark.parametrize(
    "function", [with_request, with_response, with_tasks, with_stream, with_file, with_socket, with_secret]
)
def test_what_cannot_be_durable(function: Callable[..., Any]):
    """All of it is refused when the endpoint is registered, with what to do instead."""
    durably = Durably(FastAPI(), url="memory://")
    with pytest.raises(RegistrationError) as refused:
        durably.endpoint(function)
    assert refused.value.hint


def test_the_page_names_them():
    """The page has a word for everything that is refused."""
    text = PAGE.read_text("utf-8").split("## What cannot be durable")[1]
    for name in (
        "Request",
        "Response",
        "BackgroundTasks",
        "StreamingResponse",
        "FileResponse",
        "WebSocket",
        "SecretStr",
    ):
        assert name in text
