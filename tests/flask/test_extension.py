"""The extension: applications, settings, services, and the rules of durable calls."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, g, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from durably import Service, SyncContext, TerminalError
from durably.errors import ConfigurationError, NotInHandlerError, RegistrationError, UsageError
from durably_flask import Durably, ctx
from tests.flask.worlds import World


def test_several_applications_of_one_factory():
    """Each has its own runtime, configuration and closures, also when views are made in the factory."""
    durably = Durably()

    def create_app(name: str) -> Flask:
        app = Flask(name)
        app.testing = True
        app.config["DURABLY_URL"] = "memory://"
        durably.init_app(app)

        @app.post("/who")
        @durably.endpoint(key="n")
        def who(n: str | None = None) -> str:
            return f"{name} {current_app.name} {ctx.key()}"

        app.add_url_rule("/who/<n>", view_func=who, methods=["POST"])
        return app

    apps = [create_app("first"), create_app("second")]
    try:
        answers = [app.test_client().post("/who/7").text for app in [*apps, *apps]]
        assert answers == ["first first 7", "second second 7"] * 2
        with apps[0].app_context():
            assert durably.settings.url == "memory://"
            assert durably.link is not None
    finally:
        for app in apps:
            durably.stop(app)


def test_the_application_is_taken_once(quiet_world: World):
    """A second `Durably` is refused; a blueprint takes over an application with its prefix."""
    with pytest.raises(UsageError, match="has a Durably already"):
        Durably(quiet_world.app)
    app = Flask("other")
    durably = Durably(url="memory://")
    app.register_blueprint(durably.blueprint, url_prefix="/runtime")
    assert durably.settings.prefix == "/runtime"
    assert app.test_client().get("/runtime/health").json == {"status": "ok"}
    durably.stop()


def test_settings_are_checked_early():
    """A setting that cannot work is refused where the application is given, with its source."""
    app = Flask("wrong")
    app.config["DURABLY_MODE"] = "sideways"
    with pytest.raises(ConfigurationError, match="MODE in the configuration"):
        Durably(app)
    app = Flask("late")
    durably = Durably(app, url="memory://")
    app.config["DURABLY_PREFIX"] = "/other"
    with pytest.raises(ConfigurationError, match="The prefix was /restate"):
        durably.start()
    with pytest.raises(UsageError, match="no application"):
        Durably().start()
    with pytest.raises(UsageError, match="has no Durably"):
        Durably().start(Flask("never"))


def test_nothing_starts_before_it_is_needed(tmp_path: Path):
    """Making an application opens nothing; under test only a durable call starts the runtime, else any request."""
    app = Flask("lazy")
    durably = Durably(app, url=f"sqlite:///{tmp_path / 'd.db'}")
    app.testing = True
    app.add_url_rule("/", "root", lambda: "x")
    app.test_client().get("/")
    assert not list(tmp_path.iterdir())
    app.testing = False
    app.test_client().get("/")
    assert durably.link.is_started
    durably.stop()
    app.test_client().get("/")
    assert not durably.link.is_started
    durably.start()
    assert durably.link.is_started
    durably.stop()


def test_a_store_that_cannot_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Ordinary requests go on; durable ones are answered 503, with the reason in the log."""
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    app = Flask("blocked")
    durably = Durably(app, url=f"sqlite:///{blocked / 'd.db'}")
    app.add_url_rule("/", "root", lambda: "x")
    app.add_url_rule("/it", "it", durably.endpoint(tmp_view))
    client = app.test_client()
    assert client.get("/").text == "x"
    assert "could not be started" in caplog.text
    answer = client.get("/it")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def tmp_view() -> str:
    """Say something."""
    return "something"


def test_services_have_the_application(world: World):
    """Handlers and their steps run in application contexts of their own, torn down after each; no request is seen."""
    log = world.log
    orders = world.durably.service("orders")
    shared = Service("bound", failures={KeyError: 404})

    @world.app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        if "mark" in g:
            log.append(f"closed {g.mark}")

    def step() -> str:
        assert g.get("mark") == "attempt"
        assert list(g) == ["mark"]
        g.mark = "step"
        return f"{current_app.name} {g.mark} {g.pop('mark')} {g.mark} {'other' in g}"

    @orders.handler()
    def place(context: SyncContext, word: str) -> str:
        assert not has_request_context()
        g.mark = "attempt"
        return context.run_typed("step", step) + f" {word} {g.mark}"

    @shared.handler()
    def fails(context: SyncContext) -> None:
        raise KeyError("nothing")

    world.durably.bind(shared)

    @world.app.get("/place")
    def call() -> str:
        return world.durably.client.service_call(place, "tea")

    @world.app.get("/fails")
    def call_failing() -> str:
        try:
            world.durably.client.service_call(fails, None)
        except Exception as error:
            return str(getattr(error, "status_code", None))
        return "fine"

    assert set(world.durably.services) >= {"orders", "bound"}
    assert world.client.get("/place").text == "world step step attempt False tea attempt"
    assert "closed attempt" in log
    assert world.client.get("/fails").text == "404"


def test_sessions_of_steps_are_removed(quiet_world: World, tmp_path: Path):
    """With Flask-SQLAlchemy each step has a session of its own, which is gone after it."""
    app = quiet_world.app
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / 'app.db'}"
    database = SQLAlchemy(app)

    class Report(database.Model):  # type: ignore[name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    with app.app_context():
        database.create_all()
    sessions: list[Any] = []

    def write(number: int) -> int:
        sessions.append(database.session())
        database.session.add(Report(id=number))
        database.session.commit()
        return number

    @app.post("/reports/<int:number>")
    @quiet_world.durably.endpoint
    def report(number: int, context: SyncContext) -> dict[str, int]:
        context.run_typed("one", write, number=number)
        context.run_typed("two", write, number=number + 1)
        assert len({id(each) for each in sessions}) == 2
        assert not any(each.registry.has() for each in [database.session])
        return {"count": database.session.query(Report).count()}

    assert quiet_world.client.post("/reports/3").get_json() == {"count": 2}
    with app.app_context():
        database.engine.dispose()


def test_results_can_be_fetched_later(quiet_world: World):
    """`Prefer: respond-async` answers 202 with an address, where the answer of the view is; forged ones are 404."""
    app, durably = quiet_world.app, quiet_world.durably

    @app.post("/slow/<word>")
    @durably.endpoint
    def slow(word: str, context: SyncContext) -> Any:
        word = context.run_typed("step", lambda: word * 2)
        if word == "badbad":
            raise TerminalError("no", status_code=410)
        return word, 201, {"x-word": word}

    client = quiet_world.client
    taken = client.post("/slow/ab", headers={"prefer": "respond-async", "idempotency-key": "k"})
    assert (taken.status_code, taken.headers["preference-applied"]) == (202, "respond-async")
    location = taken.headers["location"]
    assert location.startswith("/restate/results/")
    deadline_s = time.monotonic() + 10
    while (answer := client.get(location)).status_code == 202 and time.monotonic() < deadline_s:
        continue
    assert (answer.status_code, answer.text, answer.headers["x-word"]) == (201, "abab", "abab")
    assert client.post("/slow/ab", headers={"idempotency-key": "k"}).text == "abab"
    assert client.get(location + "x").status_code == 404
    taken = client.post("/slow/bad", headers={"prefer": "wait=5"})
    assert taken.status_code == 410


def test_keys_of_callers_do_not_meet(quiet_world: World):
    """The same Idempotency-Key of two callers stands for two calls, and of one caller for one."""
    counted: list[int] = []

    @quiet_world.app.post("/count")
    @quiet_world.durably.endpoint
    def count() -> str:
        counted.append(1)
        return str(len(counted))

    def call(**headers: str) -> str:
        return quiet_world.client.post("/count", headers={"idempotency-key": "k", **headers}).text

    assert [call(authorization=name) for name in ("ada", "bob", "ada")] == ["1", "2", "1"]
    assert call() == "3"
    with quiet_world.app.test_client() as client:
        with client.session_transaction() as session:
            session["user_id"] = 7
        assert client.post("/count", headers={"idempotency-key": "k"}).text == "4"
        assert client.post("/count", headers={"idempotency-key": "k"}).text == "4"


def generating() -> Any:
    """Stream."""
    yield "a"


def with_wrong_context(context: SyncContext) -> str:
    """Take a plain context."""
    return ""


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        (generating, {}, "is a generator"),
        (print, {}, "is no function"),
        (Flask, {}, "is no function"),
        (tmp_view, {"key": "order"}, "is none of its parameters"),
        (tmp_view, {"shared": True}, "shared=True says"),
        (tmp_view, {"unknown": 1}, "unexpected keyword"),
        (tmp_view, {"service": "restate-x"}, "reserved"),
    ],
)
def test_what_cannot_work_is_refused_at_once(view: Any, options: dict[str, Any], message: str):
    """Registration names the view, what is wrong, and what to write instead."""
    with pytest.raises(RegistrationError, match=message):
        Durably(url="memory://").endpoint(**options)(view)


def test_views_are_registered_once(quiet_world: World):
    """Twice the decorator, two views of one name, and a view that comes too late are refused."""
    durable = quiet_world.durably.endpoint(tmp_view)
    with pytest.raises(RegistrationError, match="is durable already"):
        quiet_world.durably.endpoint(durable)

    def other() -> str:
        return ""

    other.__name__ = "tmp_view"
    with pytest.raises(RegistrationError, match="there is a handler"):
        quiet_world.durably.endpoint(other)
    quiet_world.durably.start()

    @quiet_world.app.get("/late")
    @quiet_world.durably.endpoint
    def late() -> str:
        return ""

    assert quiet_world.client.get("/late").status_code == 500


def test_the_proxy_needs_a_handler(quiet_world: World):
    """Outside of durable code there is no context; tools can look at the proxy all the same."""
    with pytest.raises(NotInHandlerError, match="does not run inside a handler"):
        ctx.run_typed("x", tmp_view)
    assert not isinstance(ctx, Flask)
    assert "unbound" in repr(ctx)


def test_other_input_is_refused(quiet_world: World):
    """A view's handler that is called with something else fails for good, and says so."""

    @quiet_world.app.get("/it")
    @quiet_world.durably.endpoint(service="views")
    def it() -> str:
        return request.path

    @quiet_world.app.get("/call")
    def call() -> str:
        try:
            quiet_world.durably.client.generic_call("views", "it", b'{"a":1}')
        except Exception as error:
            return str(error)
        return "fine"

    assert "call its URL" in quiet_world.client.get("/call").text


def test_commands(monkeypatch: pytest.MonkeyPatch):
    """`flask durably` runs the commands of `durably`, for the runtime of the application."""
    monkeypatch.setenv("DURABLY_URL", "")
    monkeypatch.delenv("DURABLY_URL")
    monkeypatch.setattr("sys.argv", ["flask"])
    seen: list[Any] = []

    def main() -> int:
        seen.append((sys.argv[1:], os.environ["DURABLY_URL"], os.environ["DURABLY_ADMIN_URL"]))
        return 3

    monkeypatch.setenv("DURABLY_ADMIN_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("durably.__main__.main", main)
    app = Flask("commanded")
    Durably(app, url="http://127.0.0.1:9", service_url="http://127.0.0.1:2")
    result = app.test_cli_runner().invoke(args=["durably", "invocations", "list", "--help"])
    assert result.exit_code == 3
    assert seen == [(["invocations", "list", "--help"], "http://127.0.0.1:9", "http://127.0.0.1:1")]
