"""What steps and services raise means what it means in a view: the application's error handlers decide."""

from __future__ import annotations

from typing import Any

import pytest
from flask import abort, request
from werkzeug.exceptions import HTTPException

from durably import SyncContext, TerminalError
from tests.flask.worlds import World


class OutOfStockError(Exception):
    """What the application answers with a 409."""


class UnknownTeaError(Exception):
    """What an error handler of the application fails on."""


class BusyError(Exception):
    """What the application answers with a 503."""


def register_handlers(world: World) -> None:
    """Give the application its error handlers."""

    def sold_out(error: OutOfStockError) -> Any:
        world.log.append(f"asked at {request.path}")
        return {"sold out": str(error)}, 409

    def broken(error: UnknownTeaError) -> Any:
        raise LookupError("the handler")

    world.app.register_error_handler(OutOfStockError, sold_out)
    world.app.register_error_handler(UnknownTeaError, broken)
    world.app.register_error_handler(BusyError, lambda error: ("busy", 503))


def test_a_step_of_a_view(world: World):
    """A step that raises what the application answers with a 4xx is not tried again; a view can undo."""
    register_handlers(world)
    log = world.log

    def take(kind: str) -> None:
        log.append(f"take {kind}")
        if kind == "missing":
            abort(404, "no such tea")
        raise OutOfStockError("tea")

    @world.app.post("/teas/<kind>")
    @world.durably.endpoint
    def order(kind: str, context: SyncContext) -> str:
        try:
            context.run_typed("take", take, kind=kind)
        except TerminalError:
            context.run_typed("undo", lambda: log.append("undo"))
            raise
        return "never"

    answer = world.client.post("/teas/black")
    assert (answer.status_code, answer.get_json()) == (409, {"sold out": "tea"})
    assert [each for each in log if each != "asked at /teas/black"] == ["take black", "undo"]
    log.clear()
    answer = world.client.post("/teas/missing")
    assert (answer.status_code, "no such tea" in answer.text) == (404, True)
    assert log == ["take missing", "undo"]


@pytest.mark.parametrize("kind", [BusyError, RuntimeError, UnknownTeaError])
def test_a_step_that_is_tried_again(quiet_world: World, kind: type[Exception]):
    """What is answered with a 5xx, by nobody, or by a handler that fails, is tried again."""
    register_handlers(quiet_world)
    tries: list[int] = []

    def take() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise kind("not yet")
        return len(tries)

    @quiet_world.app.post("/teas")
    @quiet_world.durably.endpoint
    def order(context: SyncContext) -> str:
        return str(context.run_typed("take", take))

    assert quiet_world.client.post("/teas").text == "3"


def test_a_handler_of_a_service(quiet_world: World):
    """A service's handler fails with the status of the application's answer; `failures=` goes before that."""
    register_handlers(quiet_world)
    teas = quiet_world.durably.service("teas", failures={KeyError: 404})

    @teas.handler()
    def order(context: SyncContext, kind: str) -> None:
        if kind == "none":
            raise KeyError(kind)
        if kind == "bad":
            abort(422, "no tea")
        raise OutOfStockError(kind)

    @quiet_world.app.get("/teas/<kind>")
    def call(kind: str) -> str:
        try:
            quiet_world.durably.client.service_call(order, kind)
        except Exception as error:
            return f"{getattr(error, 'status_code', error)} {getattr(error, 'message', '')}"
        return "fine"

    asked = {kind: quiet_world.client.get(f"/teas/{kind}").text for kind in ("black", "bad", "none")}
    assert asked == {"black": "409 black", "bad": "422 no tea", "none": "404 'none'"}
    assert quiet_world.log == ["asked at /"]


def test_handlers_are_asked_once(quiet_world: World):
    """An exception that leaves a view is shown to the error handler once for each attempt, in the view's request."""
    seen: list[str] = []

    def busy(error: HTTPException) -> Any:
        seen.append(request.path)
        return "later", 503

    quiet_world.app.register_error_handler(BusyError, busy)
    tries: list[int] = []

    @quiet_world.app.get("/it")
    @quiet_world.durably.endpoint
    def it() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise BusyError
        return "done"

    assert quiet_world.client.get("/it").text == "done"
    assert seen == ["/it", "/it"]
