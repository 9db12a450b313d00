"""The application with an engine in memory and a database in a folder of the test, and people who use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, event

from reports import create_app
from reports.commands import fill
from reports.extensions import Base, db, durably, post
from reports.models import Sale

Mails = dict[str, tuple[str, str]]


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Mails:
    """Stand in for the mail server: subject and recipient of each mail, by the reference by which it is known."""
    found: Mails = {}

    def send(*, to: str, subject: str, text: str, reference: str) -> None:
        found[reference] = (subject, to)

    monkeypatch.setattr(post, "send", send)
    return found


@pytest.fixture
def app(tmp_path: Path, mails: Mails) -> Iterator[Flask]:
    """An application in which nothing takes time."""
    app = create_app(
        {
            "TESTING": True,
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'reports.db'}",
            "DURABLY_URL": "memory://",
            "SETTLE_SECONDS": 0,
        }
    )
    with app.app_context():
        event.listen(db.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        fill()
    yield app
    durably.stop(app)
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def empty_tables(app: Flask) -> Callable[[], None]:
    """Give what sets the database back, for tests that run many times."""

    def again() -> None:
        with app.app_context():
            for table in reversed(Base.metadata.sorted_tables):
                if table is not Sale.__table__:
                    db.session.execute(delete(table))
            db.session.commit()

    return again


SignIn = Callable[..., FlaskClient]


@pytest.fixture
def sign_in(app: Flask) -> SignIn:
    """Open an account, and give a client that is logged in."""

    def open_account(name: str, *, approves: bool = False) -> FlaskClient:
        client = app.test_client()
        form = {"name": name, "email": f"{name}@home.example", "password": "correct horse"}
        assert client.post("/auth/register", data=form).status_code == 201
        if approves:
            assert app.test_cli_runner().invoke(args=["hire", name]).exit_code == 0
        assert client.post("/auth/login", data=form).status_code == 200
        return client

    return open_account


@pytest.fixture
def ada(sign_in: SignIn) -> FlaskClient:
    """Somebody who has reports built."""
    return sign_in("ada")


@pytest.fixture
def cleo(sign_in: SignIn) -> FlaskClient:
    """Somebody who releases them."""
    return sign_in("cleo", approves=True)
