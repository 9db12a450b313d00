"""Failures of durable endpoints: which end the work, which are retried, and what the caller sees."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException as StarletteHTTPException

from durably import Context, SyncContext, TerminalError
from durably_fastapi import Durably, PerAttempt
from tests.fastapi.worlds import World


class OutOfStock(Exception):
    """An exception of the application's own."""

    def __init__(self, sku: str) -> None:
        super().__init__(f"no {sku}")
        self.sku = sku


class Busy(Exception):
    """One that the application answers with a 503."""


class Teapot(HTTPException):
    """An HTTP exception with a handler of its own."""


def test_http_exceptions(world: World):
    """Status, detail of any shape and headers arrive as without durability; nothing is retried."""

    async def fail(kind: str) -> None:
        world.log.append(kind)
        raise {
            "text": HTTPException(404, "no such order"),
            "object": HTTPException(409, {"reason": ["a", 1, None]}, {"x-reason": "b"}),
            "none": HTTPException(401, headers={"WWW-Authenticate": "Bearer"}),
            "starlette": StarletteHTTPException(410, "gone"),
        }[kind]

    compare = world.twins("/{kind}", fail)
    for kind, status in {"text": 404, "object": 409, "none": 401, "starlette": 410}.items():
        answer = compare(f"/{kind}", status)
    assert compare("/object", 409).headers["x-reason"] == "b"
    answer = compare("/none", 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-durably-invocation-id"].startswith("inv_")
    assert len(world.log) == 12


def test_terminal_errors(world: World):
    """A terminal error's status is the answer's where it is one of HTTP, else 500."""

    @world.app.post("/{code}")
    @world.durably.endpoint
    def fail(code: int, ctx: SyncContext) -> None:
        raise TerminalError("no", code)

    assert world.client.post("/402").status_code == 402
    assert world.client.post("/402").json() == {"detail": "no"}
    assert world.client.post("/503").status_code == 503
    assert world.client.post("/1234").status_code == 500


def test_other_exceptions_are_retried(world: World):
    """Server errors and unknown exceptions stay inside: the caller sees only the result."""

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> str:
        world.log.append("attempt")
        match len(world.log):
            case 1:
                raise HTTPException(503)
            case 2:
                raise ValueError
            case _:
                return "done"

    assert world.client.post("/").json() == "done"
    assert len(world.log) == 3


def test_failures_in_steps(world: World):
    """An HTTP exception in a step ends the work, is recorded with the step, and can be caught for compensation."""

    def charge() -> None:
        world.log.append("charge")
        raise HTTPException(402, {"declined": True}, {"x-a": "b"})

    @world.app.post("/{kind}")
    @world.durably.endpoint
    async def pay(kind: str, ctx: Context) -> str:
        try:
            await ctx.run_typed("charge", charge)
        except TerminalError as error:
            await ctx.run_typed("refund", lambda: world.log.append("refund"))
            if kind == "raise":
                raise
            return f"caught {error.status_code}"
        return "paid"

    answer = world.client.post("/raise")
    assert (answer.status_code, answer.json(), answer.headers["x-a"]) == (402, {"detail": {"declined": True}}, "b")
    assert world.client.post("/catch").json() == "caught 402"
    assert world.log == ["charge", "refund"] * 2


def test_validation_errors(world: World):
    """Input that is refused on an attempt is a 422 in FastAPI's form, without the values that were wrong."""

    class Inner(BaseModel):
        size: int

    @world.app.post("/{kind}")
    @world.durably.endpoint
    async def check(kind: str, ctx: Context) -> None:
        if kind == "request":
            raise RequestValidationError([{"type": "missing", "loc": ("body", "x"), "msg": "Field required"}])
        Inner.model_validate({"size": "secret"})

    answer = world.client.post("/request")
    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required"}]}
    answer = world.client.post("/model")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["size"]
    assert "secret" not in answer.text


def test_exception_handlers_of_the_application(world: World):
    """What the application answers with a 4xx is the answer, `async def` or `def` handler, on attempts and in steps."""

    @world.app.exception_handler(OutOfStock)
    async def out_of_stock(request: Request, error: OutOfStock) -> JSONResponse:
        return JSONResponse({"sku": error.sku, "path": request.url.path}, 409, {"x-stock": "0"})

    @world.app.exception_handler(Teapot)
    def teapot(request: Request, error: Teapot) -> PlainTextResponse:
        return PlainTextResponse("short and stout", 418)

    @world.app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return JSONResponse({}, 503)

    def reserve() -> None:
        raise OutOfStock("b")

    @world.app.post("/{kind}")
    @world.durably.endpoint
    async def order(kind: str, ctx: Context) -> str:
        world.log.append(kind)
        match kind:
            case "own":
                raise OutOfStock("a")
            case "step":
                await ctx.run_typed("reserve", reserve)
            case "teapot":
                raise Teapot(400)
            case "busy" if world.log.count("busy") < 3:
                raise Busy
        return "done"

    answer = world.client.post("/own")
    assert (answer.status_code, answer.json(), answer.headers["x-stock"]) == (409, {"sku": "a", "path": "/"}, "0")
    assert answer.headers["x-durably-invocation-id"].startswith("inv_")
    assert world.client.post("/step").json()["sku"] == "b"
    assert world.client.post("/teapot").text == "short and stout"
    assert world.client.post("/busy").json() == "done"


def test_handlers_that_wait_or_fail(quiet_world: World):
    """An exception handler that has to wait is waited for; one that fails itself leaves the exception to retries."""
    import asyncio

    @quiet_world.app.exception_handler(OutOfStock)
    async def out_of_stock(request: Request, error: OutOfStock) -> JSONResponse:
        await asyncio.sleep(0.001)
        return JSONResponse({"sku": error.sku}, 409)

    @quiet_world.app.exception_handler(Busy)
    def busy(request: Request, error: Busy) -> JSONResponse:
        raise KeyError

    @quiet_world.app.post("/{kind}")
    @quiet_world.durably.endpoint
    async def order(kind: str, ctx: Context) -> str:
        quiet_world.log.append(kind)
        if kind == "waits":
            raise OutOfStock("a")
        if len(quiet_world.log) < 4:
            raise Busy
        return "done"

    assert quiet_world.client.post("/waits").json() == {"sku": "a"}
    assert quiet_world.client.post("/fails").json() == "done"


def test_the_application_writes_its_errors(world: World):
    """Its handlers for `HTTPException`, a status and validation write the answers of durable endpoints too."""

    @world.app.exception_handler(StarletteHTTPException)
    async def http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"oops": error.detail}, error.status_code)

    @world.app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"wrong": len(error.errors())}, 400)

    @world.app.post("/{kind}")
    @world.durably.endpoint
    async def work(kind: str, ctx: Context, size: int = 1) -> None:
        if kind == "http":
            raise HTTPException(404, "x")
        TypeAdapter(int).validate_python("x")

    assert world.client.post("/http").json() == {"oops": "x"}
    assert world.client.post("/validation").json() == {"wrong": 1}
    assert world.client.post("/validation?size=x").json() == {"wrong": 1}


def test_failures_of_the_user_win(quiet_world: World):
    """`failures=` of an endpoint, and of the application, go over the framework's rules."""
    app = FastAPI()
    durably = Durably(app, url="memory://", failures={LookupError: 404, HTTPException: 418})
    quiet_world.app, quiet_world.durably = app, durably

    @app.post("/endpoint")
    @durably.endpoint(failures={LookupError: 410})
    async def own() -> None:
        raise KeyError

    @app.post("/app/{kind}")
    @durably.endpoint
    async def theirs(kind: str) -> None:
        raise KeyError if kind == "key" else HTTPException(400)

    assert quiet_world.client.post("/endpoint").status_code == 410
    assert quiet_world.client.post("/app/key").status_code == 404
    assert quiet_world.client.post("/app/http").status_code == 418


def test_failures_in_dependencies(world: World):
    """A dependency that refuses on an attempt ends the work; one that refuses at the edge lets it never begin."""

    def at_edge(request: Request) -> str:
        if "x-no" in request.headers:
            raise HTTPException(403, "edge")
        return "x"

    async def on_attempt(flag: bool = False) -> None:
        world.log.append("attempt")
        if flag:
            raise HTTPException(409, "attempt")

    @world.app.post("/")
    @world.durably.endpoint
    async def work(
        a: Annotated[str, Depends(at_edge)], b: Annotated[None, Depends(on_attempt), PerAttempt], ctx: Context
    ) -> Any:
        return "done"

    assert world.client.post("/", headers={"x-no": "1"}).json() == {"detail": "edge"}
    assert world.log == []
    assert world.client.post("/?flag=true").json() == {"detail": "attempt"}
    assert world.client.post("/").json() == "done"
    assert world.log == ["attempt", "attempt"]


class Priced(BaseModel):
    """What a route promises."""

    cents: int


def test_a_result_that_the_route_refuses_ends_the_call(world: World, caplog: pytest.LogCaptureFixture):
    """It is the same 500 as without durability, at once and on a poll; the log says what is wrong, not the value."""

    async def price(ctx: Context) -> dict[str, str]:
        world.log.append("attempt")
        return {"cents": "secret"}

    world.app.post("/durable", response_model=Priced)(world.durably.endpoint(price))

    @world.app.post("/plain", response_model=Priced)
    async def plain() -> dict[str, str]:
        return {"cents": "secret"}

    with caplog.at_level(logging.ERROR):
        answers = [world.client.post(path) for path in ("/plain", "/durable")]
    assert [(answer.status_code, answer.text) for answer in answers] == [(500, "Internal Server Error")] * 2
    said = [record.getMessage() for record in caplog.records if record.name == "durably.fastapi"]
    assert len(said) == 1
    assert "/price inv_" in said[0]
    assert "response.cents: Input should be a valid integer" in said[0]
    assert "secret" not in said[0]
    assert world.log == ["attempt"]
    accepted = world.client.post("/durable", headers={"Prefer": "respond-async"})
    polled = world.client.get(accepted.headers["location"], headers={"Prefer": "wait=10"})
    assert (polled.status_code, polled.text) == (500, "Internal Server Error")


def test_the_application_answers_for_a_refused_result(quiet_world: World):
    """Its own handler of the exception is asked, and is told what is wrong, without the value."""
    world = quiet_world

    @world.app.exception_handler(ResponseValidationError)
    def answer(request: Request, error: ResponseValidationError) -> JSONResponse:
        return JSONResponse(error.errors(), 502)

    @world.app.get("/", response_model=Priced)
    @world.durably.endpoint
    def price(ctx: SyncContext) -> dict[str, str]:
        return {"cents": "secret"}

    answered = world.client.get("/")
    assert answered.status_code == 502
    assert [(each["type"], each["loc"]) for each in answered.json()] == [("int_parsing", ["response", "cents"])]
    assert "secret" not in answered.text


def test_a_result_without_a_json_form_ends_the_call(quiet_world: World, caplog: pytest.LogCaptureFixture):
    """An object that nothing can write, and a number that JSON does not have: 500, with the reason in the log."""
    world = quiet_world

    @world.durably.endpoint
    async def give(kind: str, ctx: Context) -> Any:
        world.log.append(kind)
        return object() if kind == "object" else float("nan")

    world.app.get("/{kind}", response_model=None)(give)
    for kind in ("object", "number"):
        answer = world.client.get(f"/{kind}")
        assert answer.status_code == 500
        assert answer.json() == {"detail": "The result of test_endpoint_failures/give has no JSON form."}
    assert world.log == ["object", "number"]
    reasons = [record.exc_info for record in caplog.records if record.name == "durably.fastapi"]
    assert len(reasons) == 2
    assert all(reasons)
