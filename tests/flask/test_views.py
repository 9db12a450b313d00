"""Durable views see the request, and answer, as plain views do."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import (
    Blueprint,
    Response,
    abort,
    g,
    jsonify,
    make_response,
    redirect,
    request,
    stream_with_context,
)
from flask.views import MethodView
from werkzeug.exceptions import HTTPException

from durably import Context, SyncContext, SyncObjectContext, TerminalError
from durably_flask import ctx
from tests.flask.worlds import World


def describe() -> dict[str, Any]:
    """Tell all that a view can see of a request."""
    return {
        "method": request.method,
        "args": request.args.to_dict(flat=False),
        "form": request.form.to_dict(flat=False),
        "files": {name: [file.filename, file.read().hex()] for name, file in request.files.items()},
        "json": request.get_json(silent=True),
        "data": request.get_data().hex(),
        "headers": request.headers.get("X-Some"),
        "host": request.host,
        "addr": request.remote_addr,
        "view_args": request.view_args,
        "blueprint": request.blueprint,
    }


@pytest.mark.parametrize(
    "sent",
    [
        {"query_string": "a=1&a=2&b=%C3%A4"},
        {"json": {"n": [1, "\u00e4"]}},
        {"data": {"field": "value", "more": ["1", "2"]}},
        {"data": {"field": "x", "up": (io.BytesIO(b"\xff\x00"), "a.bin")}},
        {"data": b"\xff\xfe", "content_type": "application/octet-stream"},
        {"headers": {"x-some": "thing"}, "environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}},
    ],
    ids=["query", "json", "form", "file", "bytes", "header"],
)
def test_the_request_is_the_same(world: World, sent: dict[str, Any]):
    """Query, JSON, forms, files, bytes and headers reach the view on an attempt."""

    def look(number: int) -> dict[str, Any]:
        """Describe, with a converted part of the URL."""
        return {**describe(), "number": number + 1}

    compare = world.twins("/look/<int:number>", look)
    again = dict(sent)
    if "data" in sent and isinstance(sent["data"], dict) and "up" in sent["data"]:
        for prefix in ("plain", "durable"):
            data = {"field": "x", "up": (io.BytesIO(b"\xff\x00"), "a.bin")}
            answer = world.client.post(f"/{prefix}/look/3", data=data)
            assert answer.get_json()["files"] == {"up": ["a.bin", "ff00"]}
        return
    if isinstance(sent.get("data"), dict):
        again["data"] = dict(sent["data"])
    assert compare("/look/3", 200, **again).get_json()["number"] == 4


def tuple_of_three() -> Any:
    """Give text, a status and headers."""
    return "made", 201, [("X-A", "1"), ("X-A", "2")]


def as_response() -> Any:
    """Give a response with a cookie."""
    response = make_response(b"\xff\x01", 202)
    response.set_cookie("a", "b")
    return response


def as_list() -> Any:
    """Give a list, which becomes JSON."""
    return [1, {"a": None}]


def as_redirect() -> Any:
    """Send the client elsewhere."""
    return redirect("/elsewhere", 303)


def as_json_response() -> Any:
    """Give JSON with a status."""
    return jsonify(error="teapot"), 418


def aborting() -> Any:
    """Refuse with a page of the framework."""
    abort(404, "not here")


def aborting_with_a_response() -> Any:
    """Refuse with an answer of one's own."""
    abort(make_response("mine", 409))


def missing_field() -> Any:
    """Ask for a part of the form that was not sent."""
    return request.form["missing"]


@pytest.mark.parametrize(
    ("view", "status"),
    [
        (tuple_of_three, 201),
        (as_response, 202),
        (as_list, 200),
        (as_redirect, 303),
        (as_json_response, 418),
        (aborting, 404),
        (aborting_with_a_response, 409),
        (missing_field, 400),
    ],
)
def test_the_answer_is_the_same(quiet_world: World, view: Any, status: int):
    """Tuples, responses, redirects and refusals arrive with status, headers and bytes."""
    quiet_world.twins("/it", view)("/it", status)


def test_error_handlers_answer(quiet_world: World):
    """An application's own handlers, for classes and for codes, make the answer; it is terminal."""

    class OutOfStockError(Exception):
        pass

    def sold_out() -> str:
        """Fail."""
        quiet_world.log.append("ran")
        raise OutOfStockError("tea")

    def forbidden() -> str:
        """Fail."""
        abort(403)

    quiet_world.app.register_error_handler(OutOfStockError, lambda error: ({"sold out": str(error)}, 409))
    quiet_world.app.register_error_handler(403, lambda error: (f"no: {error.code}", 403))
    sold, banned = quiet_world.twins("/sold", sold_out), quiet_world.twins("/forbidden", forbidden)
    sold("/sold", 409)
    banned("/forbidden", 403)
    assert quiet_world.log == ["ran", "ran"]


def test_terminal_errors_become_statuses(quiet_world: World):
    """A `TerminalError` is answered as `abort` with its status would be, with the application's handler for it."""
    app, durably = quiet_world.app, quiet_world.durably

    @app.get("/pay")
    @durably.endpoint
    def pay() -> str:
        raise TerminalError("too poor", status_code=402)

    @app.get("/conflict")
    @durably.endpoint
    def conflict() -> str:
        raise TerminalError("was there", status_code=409)

    @app.errorhandler(409)
    def on_conflict(error: HTTPException) -> Any:
        return {"why": error.description}, 409

    answer = quiet_world.client.get("/pay")
    assert answer.status_code == 402
    assert "too poor" in answer.text
    assert quiet_world.client.get("/conflict").get_json() == {"why": "was there"}


def test_unknown_errors_and_server_errors_are_retried(quiet_world: World):
    """What nobody expects is repeated until it works; so is a 5xx."""

    @quiet_world.app.get("/flaky")
    @quiet_world.durably.endpoint
    def flaky() -> str:
        quiet_world.log.append("try")
        if len(quiet_world.log) == 1:
            abort(503)
        if len(quiet_world.log) == 2:
            raise RuntimeError("oh")
        return "done"

    assert quiet_world.client.get("/flaky").text == "done"
    assert len(quiet_world.log) == 3


def test_functions_around_requests(world: World):
    """Before and after run once, when the call arrives and is answered; teardown runs after every attempt too."""
    app, log = world.app, world.log

    @app.before_request
    def before() -> None:
        log.append("before")
        g.user = "ada"

    @app.after_request
    def after(response: Response) -> Response:
        log.append("after")
        response.headers.add("x-after", "1")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        log.append(f"teardown {type(error).__name__ if error else 'fine'}")

    @app.get("/it")
    @world.durably.endpoint
    def it(context: SyncContext) -> str:
        log.append("view")
        assert "user" not in g
        context.run_typed("step", lambda: log.append("step"))
        awakeable, future = context.awakeable(type_hint=str)
        context.resolve_awakeable(awakeable, "x")
        return future.result()

    answer = world.client.get("/it")
    assert answer.headers.getlist("x-after") == ["1"]
    assert answer.text == "x"
    assert log.count("before") == log.count("after") == log.count("step") == 1
    suspended = log.count("teardown SuspendedException")
    assert log.count("view") == suspended + 1
    assert log.count("teardown fine") == 2  # of the last attempt, and of the call


def test_blueprints_and_classes(world: World):
    """Views of blueprints, and methods of `MethodView`s with arguments, are durable; a key makes an object."""
    shop = Blueprint("shop", __name__, url_prefix="/shop")

    @shop.post("/<name>")
    @world.durably.endpoint
    def buy(name: str) -> dict[str, Any]:
        return {"name": name, **describe()}

    @shop.errorhandler(404)
    def lost(error: HTTPException) -> Any:
        return "lost in the shop", 404

    @shop.get("/lost")
    @world.durably.endpoint
    def lose() -> str:
        abort(404)

    class Cart(MethodView):
        def __init__(self, step: int) -> None:
            self.step = step

        @world.durably.endpoint(key="cart_id")
        def post(self, cart_id: str, context: SyncObjectContext) -> str:
            total = (context.get("total", type_hint=int) or 0) + self.step
            ctx.set("total", total)
            return str(total)

        @world.durably.endpoint(key="cart_id", shared=True)
        def get(self, cart_id: str) -> str:
            return str(ctx.get("total", type_hint=int))

    shop.add_url_rule("/carts/<cart_id>", view_func=Cart.as_view("cart", 5))
    world.app.register_blueprint(shop)
    assert world.client.post("/shop/tea").get_json()["blueprint"] == "shop"
    assert world.client.get("/shop/lost").text == "lost in the shop"
    assert [world.client.post("/shop/carts/a").text for _ in range(2)] == ["5", "10"]
    assert world.client.get("/shop/carts/a").text == "10"
    assert world.client.post("/shop/carts/b").text == "5"


def test_async_views(world: World):
    """An `async def` view awaits its context, with the request at hand."""

    @world.app.post("/sum")
    @world.durably.endpoint
    async def add(context: Context) -> dict[str, Any]:
        first = await context.run_typed("first", lambda: request.get_json()["a"])
        return {"sum": first + request.get_json()["b"]}

    assert world.client.post("/sum", json={"a": 1, "b": 2}).get_json() == {"sum": 3}


def test_streams_are_refused(quiet_world: World):
    """A stream cannot be recorded, which the answer says."""

    @quiet_world.app.get("/stream")
    @quiet_world.durably.endpoint
    def stream() -> Any:
        return Response(stream_with_context(iter(["a", "b"])))

    answer = quiet_world.client.get("/stream")
    assert answer.status_code == 500
    assert "cannot be recorded" in answer.text


def test_large_bodies_are_refused(quiet_world: World):
    """More than `max_upload_bytes` is a 413, whether or not something reads the form before."""
    quiet_world.app.config["DURABLY_MAX_UPLOAD_BYTES"] = 10
    quiet_world.app.extensions["durably"].settings = quiet_world.app.extensions["durably"]._read_settings()
    quiet_world.app.before_request(lambda: quiet_world.log.append(str(len(request.form))))

    @quiet_world.app.post("/up")
    @quiet_world.durably.endpoint
    def up() -> str:
        return request.form["a"]

    assert quiet_world.client.post("/up", data={"a": "12345"}).text == "12345"
    assert quiet_world.client.post("/up", data={"a": "1234567890"}).status_code == 413


def test_after_this_request(quiet_world: World):
    """What a view asks for its own answer is done on the attempt."""
    from flask import after_this_request

    def marked() -> str:
        """Mark the answer."""

        @after_this_request
        def mark(response: Response) -> Response:
            response.headers["x-mark"] = "1"
            return response

        return "x"

    assert quiet_world.twins("/it", marked)("/it", 200).headers["x-mark"] == "1"
