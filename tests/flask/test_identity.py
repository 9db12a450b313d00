"""Who calls a durable view: credentials stay outside of the journal, and what the view needs is carried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import flash, g, request, session

from durably import SyncContext
from durably.engine.options import EngineOptions
from durably.errors import UsageError
from durably_flask import identity
from tests.flask.worlds import World


def test_functions_before_on_request(quiet_world: World):
    """`before_request=True` runs them on attempts too, and one that answers ends the attempt."""
    log = quiet_world.log

    @quiet_world.app.before_request
    def before() -> Any:
        log.append("before")
        g.user = "ada"
        return ("enough", 403) if request.args.get("n") == "2" and len(log) > 1 else None

    @quiet_world.app.get("/it")
    @quiet_world.durably.endpoint(before_request=True)
    def it() -> str:
        return g.user

    assert quiet_world.client.get("/it").text == "ada"
    log.clear()
    assert quiet_world.client.get("/it?n=2").status_code == 403


def test_credentials_are_not_stored(quiet_world: World):
    """The view does not see them on attempts; what the hook gave is there, in steps too."""
    quiet_world.app.extensions["durably"].runtime = type(quiet_world.app.extensions["durably"].runtime)(
        given={"url": "memory://"},
        identity=lambda: {"name": request.authorization.token if request.authorization else None},
        secret_headers=("X-Mine",),
    )

    @quiet_world.app.get("/who")
    @quiet_world.durably.endpoint
    def who(context: SyncContext) -> dict[str, Any]:
        seen = context.run_typed("look", lambda: g.identity["name"])
        names = ("Authorization", "Cookie", "X-Api-Key", "X-Mine", "X-Other")
        return {"seen": seen, "is": identity["name"], "sent": [request.headers.get(name) for name in names]}

    sent = {"authorization": "Bearer ada", "cookie": "a=b", "x-api-key": "k", "x-mine": "m", "x-other": "o"}
    answer = quiet_world.client.get("/who", headers=sent).get_json()
    assert answer == {"seen": "ada", "is": "ada", "sent": [None, None, None, None, "o"]}


@pytest.mark.parametrize(
    "use",
    [
        lambda: session["user"],
        lambda: session.get("user"),
        lambda: "user" in session,
        lambda: len(session),
        lambda: session.update(user="ada"),
        lambda: session.pop("user", None),
        lambda: session.permanent,
        lambda: setattr(session, "permanent", True),
        lambda: flash("written"),
    ],
    ids=["item", "get", "in", "len", "update", "pop", "permanent", "set permanent", "flash"],
)
def test_the_session_stays_at_the_edge(quiet_world: World, use: Callable[[], Any]):
    """On attempts there is none: reading it would take who is logged in for a stranger, so that is refused too."""

    @quiet_world.app.get("/it")
    @quiet_world.durably.endpoint
    def it() -> str:
        quiet_world.log.append("ran")
        return str(use())

    refused = quiet_world.client.get("/it")
    assert refused.status_code == 500
    assert "has no session" in refused.text
    assert quiet_world.log == ["ran"]


def test_what_views_look_for_is_restored():
    """`identity` runs once, when the call arrives, and `restore` on each attempt: views find `g.user` as ever."""
    log: list[str] = []

    def restore(who: Any) -> None:
        g.user = {"name": who} if who else None
        log.append(f"restored {who}")

    options = EngineOptions(inactivity_timeout_ms=0)
    world = World(options, identity=lambda: session.get("user"), restore=restore)

    @world.app.post("/login")
    def login() -> str:
        session["user"] = "ada"
        return ""

    @world.app.get("/who")
    @world.durably.endpoint
    def who(context: SyncContext) -> str:
        first = context.run_typed("look", lambda: g.user["name"])
        awakeable, future = context.awakeable(type_hint=str)
        context.resolve_awakeable(awakeable, "x")
        return f"{first} {g.user['name']} {future.result()}"

    client = world.app.test_client()
    client.post("/login")
    assert client.get("/who").text == "ada ada x"
    assert set(log) == {"restored ada"}
    assert len(log) >= 2
    world.close()


def test_what_was_set_before_the_request_is_missing_with_a_reason(quiet_world: World):
    """What functions before the request have put into `g` is not there on attempts, and the error says what to do."""
    seen: list[str] = []

    @quiet_world.app.before_request
    def before() -> None:
        g.user = "ada"

    @quiet_world.app.get("/it")
    @quiet_world.durably.endpoint
    def it() -> str:
        try:
            return g.user
        except AttributeError as error:
            seen.append(str(error))
        assert (hasattr(g, "user"), g.get("user", "nobody")) == (False, "nobody")
        g.user = "set"
        return g.user

    assert quiet_world.client.get("/it").text == "set"
    assert "g.user is not set on this attempt" in seen[0]
    assert "restore=" in seen[0]


def test_no_credential_reaches_the_disk(tmp_path: Path):
    """The engine's files hold the request, with its other headers, and none of the secrets that came with it."""
    options = EngineOptions(inactivity_timeout_ms=0)
    world = World(options, url=f"sqlite:///{tmp_path / 'engine.db'}", secret_headers=["X-Mine"])

    @world.app.post("/it")
    @world.durably.endpoint
    def it(context: SyncContext) -> str:
        return context.run_typed("look", lambda: request.headers["X-Other"])

    secret, shown = "s3cret-b0bby", "plain-to-see"
    sent = dict.fromkeys(("Authorization", "Proxy-Authorization", "X-Api-Key", "X-Mine"), f"Bearer {secret}")
    sent |= {"Cookie": f"session={secret}", "X-Other": shown, "Idempotency-Key": "k-1"}
    assert world.client.post("/it", headers=sent, data={"field": "in-the-form"}).text == shown
    world.close()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert all(each.encode() in written for each in (shown, "in-the-form"))
    assert secret.encode() not in written


def test_an_identity_that_cannot_be_stored():
    """A hook that gives an object instead of JSON is a fault of the application, and the log says which."""
    world = World(EngineOptions(), identity=object)

    @world.app.get("/it")
    @world.durably.endpoint
    def it() -> str:
        world.log.append("ran")
        return ""

    world.app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(UsageError, match="identity hook gave is not JSON"):
        world.client.get("/it")
    assert world.log == []
    world.close()
