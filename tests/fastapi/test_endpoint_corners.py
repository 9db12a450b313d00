"""Corners of durable endpoints: what is rare, misused or sent by somebody with bad intentions."""

# ruff: noqa: B008 - `Depends` as a default is what is tested

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse

from durably import Service, TerminalError
from durably.errors import RegistrationError, SerdeError, UsageError
from durably_fastapi.endpoint import find_endpoint
from tests.fastapi.worlds import World

if TYPE_CHECKING:
    import durably
    from durably import Context

PAUSE = timedelta(milliseconds=1)


def test_a_context_that_only_checkers_import(world: World):
    """The context's annotation may name what is imported under TYPE_CHECKING, with or without its module."""

    @world.app.post("/short")
    @world.durably.endpoint
    async def short(ctx: Context) -> str:
        return ctx.request().id[:4]

    @world.app.post("/long")
    @world.durably.endpoint
    async def long(ctx: durably.Context) -> str:
        return ctx.request().id[:4]

    assert world.client.post("/short").json() == world.client.post("/long").json() == "inv_"


def test_bodies_that_cannot_be_journaled(quiet_world: World):
    """A body that is deeper than can be read again is refused when it arrives."""

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint
    async def work(body: dict[str, Any]) -> None:
        quiet_world.log.append("ran")

    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    answer = quiet_world.client.post("/", content=deep, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert quiet_world.log == []


def test_uploads_of_other_callers(quiet_world: World):
    """A file in a payload that somebody else wrote is checked: its parts and its base64."""

    async def store(file: UploadFile, raw: bytes = b"") -> None: ...

    found = find_endpoint(quiet_world.durably.endpoint(store))
    assert found is not None
    read = found.handler.input_serde.deserialize
    file: Any = read(
        b'{"file": {"filename": "a", "headers": {"content-type": "text/plain"}, "data": "aGk="}, "raw": "aGk="}'
    )
    assert (file["file"].filename, file["file"].content_type, file["file"].size) == ("a", "text/plain", 2)
    assert file["raw"] == b"hi"
    for wrong in (b'"text"', b'{"data": 3}', b'{"data": "*"}', b'{"filename": 1, "data": ""}', b'{"headers": [1]}'):
        with pytest.raises(SerdeError, match="file"):
            read(b'{"file": ' + wrong + b"}")


def test_responses_for_other_services(quiet_world: World):
    """A handler that calls an endpoint which answers with a response gets its JSON, or is told that it is none."""
    other = Service("other")

    @quiet_world.app.post("/json")
    @quiet_world.durably.endpoint
    async def json(ctx: Context) -> JSONResponse:
        return JSONResponse({"a": 1}, 201)

    @quiet_world.app.post("/text")
    @quiet_world.durably.endpoint
    async def text(ctx: Context) -> PlainTextResponse:
        return PlainTextResponse("hi")

    @quiet_world.app.post("/echo")
    @quiet_world.durably.endpoint
    async def echo(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @quiet_world.app.post("/relay/{kind}")
    @quiet_world.durably.endpoint
    async def relay(kind: str, ctx: Context) -> Any:
        try:
            match kind:
                case "json":
                    return await ctx.service_call(json, arg={})
                case "text":
                    return await ctx.service_call(text, arg={})
                case _:
                    return await ctx.service_call(echo, arg={"body": {"durably:response": {"a": 1}}})
        except SerdeError as error:
            return error.message

    quiet_world.durably.bind(other)
    assert quiet_world.client.post("/relay/json").json() == {"a": 1}
    assert "not JSON" in quiet_world.client.post("/relay/text").json()
    assert quiet_world.client.post("/relay/data").json() == {"durably:response": {"a": 1}}


def test_overrides_that_need_a_request(quiet_world: World):
    """An override on attempts that reads the request, or a value that was not carried, is a clear error."""

    def name() -> str:
        return "x"

    def reads(request: Request) -> str:
        return "x"

    def asks(nowhere: str) -> str:
        return nowhere

    seen: list[str] = []

    def terminal(error: UsageError) -> TerminalError:
        seen.append(str(error))
        return TerminalError("misuse", 500)

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint(failures={UsageError: terminal})
    async def work(value: Annotated[str, Depends(name)]) -> str:
        return value

    for override in (reads, asks):
        quiet_world.app.dependency_overrides = {name: override}
        assert quiet_world.client.post("/").status_code == 500
    assert "HTTP call" in seen[0]
    assert "`nowhere`" in seen[1]
    quiet_world.app.dependency_overrides = {name: lambda: "fine"}
    assert quiet_world.client.post("/").json() == "fine"


@pytest.mark.parametrize("is_async", [True, False])
def test_a_clean_up_that_fails_at_a_suspension(quiet_world: World, caplog: pytest.LogCaptureFixture, is_async: bool):
    """The attempt stays suspended and goes on later; what failed is logged."""
    from durably import SyncContext

    def session() -> Iterator[None]:
        quiet_world.log.append("open")
        yield
        if len(quiet_world.log) == 1:
            raise KeyError

    async def session_async() -> AsyncIterator[None]:
        try:
            quiet_world.log.append("open")
            yield
        finally:
            if len(quiet_world.log) == 1:
                raise KeyError

    def session_plain() -> Iterator[None]:
        try:
            yield from session()
        finally:
            if len(quiet_world.log) == 1:
                raise KeyError

    async def work(_: Annotated[None, Depends(session_async)], ctx: Context) -> str:
        await ctx.sleep(PAUSE)
        return "done"

    def work_plain(_: Annotated[None, Depends(session_plain)], ctx: SyncContext) -> str:
        ctx.sleep(PAUSE)
        return "done"

    function = work if is_async else work_plain
    quiet_world.app.post("/")(quiet_world.durably.endpoint(inactivity_timeout=timedelta(0))(function))
    with caplog.at_level(logging.ERROR, "durably.fastapi"):
        assert quiet_world.client.post("/").json() == "done"
    assert quiet_world.log == ["open", "open"]
    assert "clean-up" in caplog.text


def test_swallowing_in_steps_with_asynchronous_dependencies(world: World):
    """An asynchronous dependency that swallows a step's exception does not turn it into a result either."""

    async def get_db() -> AsyncIterator[None]:
        try:
            yield
        except ConnectionError:
            world.log.append("rollback")

    async def save(db: None = Depends(get_db)) -> str:
        if len(world.log) < 2:
            raise ConnectionError
        return "saved"

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> str:
        return await ctx.run_typed("save", save)

    assert world.client.post("/").json() == "saved"


def test_builtin_actions(world: World):
    """An action without a signature, or with parameters that have defaults, asks for nothing."""

    def power(base: int, exponent: int = 2) -> int:
        return base**exponent

    @world.app.post("/")
    @world.durably.endpoint
    async def work(ctx: Context) -> list[Any]:
        return [await ctx.run_typed("dict", dict), await ctx.run_typed("power", power, base=3)]

    assert world.client.post("/").json() == [{}, 9]


def test_main_modules_are_named_after_their_file(quiet_world: World, monkeypatch: pytest.MonkeyPatch):
    """`python shop.py` and `uvicorn shop:app` serve the same service."""
    import sys
    import types

    main = types.ModuleType("__main__")
    main.__file__ = "/somewhere/shop.py"
    monkeypatch.setitem(sys.modules, "__main__", main)

    async def work() -> None: ...

    work.__module__ = "__main__"
    found = find_endpoint(quiet_world.durably.endpoint(work))
    assert found is not None
    assert found.handler.service_name == "shop"


def test_callables_without_a_signature():
    """What cannot be read is refused by its name."""
    from fastapi import FastAPI

    from durably_fastapi import Durably

    durably = Durably(FastAPI(), url="memory://")

    async def work(value: Any = Depends(dict.fromkeys)) -> None: ...

    with pytest.raises(RegistrationError):
        durably.endpoint(work)


def test_keys_beyond_ascii(quiet_world: World):
    """An `Idempotency-Key` may be any bytes: a runtime would refuse them, so it is given a digest."""

    @quiet_world.app.post("/")
    @quiet_world.durably.endpoint
    async def count() -> int:
        quiet_world.log.append("ran")
        return len(quiet_world.log)

    keys = ["ключ".encode(), "é".encode("latin-1"), b"\xff\xfe", b"two words"]
    answers = [quiet_world.client.post("/", headers={b"idempotency-key": key}).json() for key in [*keys, *keys]]
    assert answers == [1, 2, 3, 4, 1, 2, 3, 4]
