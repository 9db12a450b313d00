"""Who the caller is, on attempts."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from durably_django.stored_request import StoredRequest, StoredRequestSerde


@pytest.fixture
def user(tables: None) -> Any:
    """Give an account of its own for each test."""
    users = get_user_model().objects
    users.all().delete()
    return users.create_user("zoe", password="secret")


@pytest.mark.parametrize("path", ["/who/", "/who-async/"])
def test_the_user_is_restored(client: Client, user: Any, path: str):
    """`request.user`, and `request.auser()`, are those of the call; there is no session on an attempt."""
    client.force_login(user)
    said = client.post(path).json()
    assert said["user"] == "zoe"
    assert said.get("session", False) is False


def test_without_login_the_user_is_anonymous(client: Client):
    """A call by nobody has an anonymous user."""
    assert client.post("/who/").json() == {"user": "", "known": False, "session": False}


def test_a_closed_account_is_refused(client: Client, user: Any):
    """Work for a user who has been deactivated since ends as forbidden."""
    payload = StoredRequestSerde().serialize(StoredRequest(user=str(user.pk)))
    user.is_active = False
    user.save()
    request = StoredRequestSerde().deserialize(payload).to_request()
    from django.core.exceptions import PermissionDenied

    with pytest.raises(PermissionDenied, match="account"):
        assert request.user.get_username()


def test_one_users_key_does_not_give_anothers_answer(quick_client: Client, user: Any):
    """Two users who choose the same Idempotency-Key get two invocations."""
    other = get_user_model().objects.create_user("max", password="secret")
    answers = []
    for each in (user, other):
        quick_client.force_login(each)
        answers.append(quick_client.post("/who/", headers={"Idempotency-Key": "same"}).json()["user"])
    assert answers == ["zoe", "max"]


def test_one_bearers_key_does_not_give_anothers_answer(quick_client: Client):
    """Where nobody is logged in, the Authorization header tells callers apart."""
    ids = {
        quick_client.post("/who/", headers={"Idempotency-Key": "same", "Authorization": f"Bearer {name}"})[
            "x-durably-invocation-id"
        ]
        for name in ("a", "b", "a")
    }
    assert len(ids) == 2


def test_nothing_secret_is_in_the_journal(tables: None, user: Any, tmp_path: Path):
    """Session, cookies, token and password of a call are nowhere in the engine's file."""
    from django.test import override_settings

    from durably_django.runtime import runtime

    runtime.stop()
    path = tmp_path / "engine.db"
    with override_settings(DURABLY={"URL": f"sqlite:///{path}"}):
        client = Client()
        client.force_login(user)
        session = client.cookies["sessionid"].value
        answer = client.post(
            "/who/", headers={"Authorization": "Bearer a-very-secret-token", "X-Api-Key": "api-secret"}
        )
        assert answer.json()["user"] == "zoe"
        runtime.stop()
    with sqlite3.connect(path) as database:
        dump = "".join(str(row) for name in _tables(database) for row in database.execute(f"SELECT * FROM {name}"))
    database.close()
    assert "who" in dump
    for secret in (session, "a-very-secret-token", "api-secret"):
        assert secret not in dump


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
