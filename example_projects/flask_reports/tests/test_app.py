"""The application as it was before durability: accounts, sessions, who may do what."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

MAY = {"month": "2026-05", "region": "north"}


def test_who_is_not_logged_in_gets_nothing(app: Flask):
    """No view but those about accounts answers strangers."""
    client = app.test_client()
    assert client.get("/reports").status_code == 401
    assert client.post("/reports", json=MAY).status_code == 401
    form = {"name": "nobody", "password": "x"}
    assert client.post("/auth/login", data=form).status_code == 401


def test_an_account_is_opened_once(app: Flask, ada: FlaskClient):
    """A name that is taken is refused, and who logs out is out."""
    form = {"name": "ada", "email": "x@home.example", "password": "x"}
    assert app.test_client().post("/auth/register", data=form).status_code == 409
    assert ada.get("/reports").json == []
    assert ada.post("/auth/logout").status_code == 204
    assert ada.get("/reports").status_code == 401


def test_only_approvers_decide(ada: FlaskClient, cleo: FlaskClient):
    """Others may not, and approvers not on reports that they have built themselves."""
    report = ada.post("/reports", json=MAY).get_json()
    path = f"/reports/{report['id']}/decision"
    assert ada.post(path, json={"approved": True}).status_code == 403
    own = cleo.post("/reports", json=MAY).get_json()
    assert cleo.post(f"/reports/{own['id']}/decision", json={"approved": True}).status_code == 403
    assert cleo.post("/reports/unknown/decision", json={"approved": True}).status_code == 404


def test_commands(app: Flask):
    """The tables are made, and nobody is hired who does not exist."""
    runner = app.test_cli_runner()
    assert "ready" in runner.invoke(args=["init"]).output
    assert "nobody is called" in runner.invoke(args=["hire", "nobody"]).output
