"""What the blog does."""

from __future__ import annotations

import sqlite3

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flaskr.db import get_db


def test_log_in(client: FlaskClient, ada: FlaskClient):
    """Who knows the password is let in."""
    assert client.post("/auth/login", data={"name": "ada", "password": "b"}).status_code == 403
    assert client.post("/auth/login", data={"name": "bob", "password": "b"}).status_code == 403


def test_strangers_do_not_write(client: FlaskClient):
    """They are sent to the log-in."""
    answer = client.post("/create", data={"title": "x"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/auth/login")


def test_posts(ada: FlaskClient):
    """Posts are written, shown and renamed."""
    assert ada.post("/create", data={"title": "first"}).headers["location"] == "/"
    assert ada.get("/").json == {"posts": ["first"]}
    answer = ada.post("/posts/1/title", data={"title": "second"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/posts/1")
    assert ada.get("/posts/1").json == {"title": "second"}


def test_refusals(ada: FlaskClient):
    """What cannot be is answered as such."""
    ada.post("/create", data={"title": "first"})
    assert ada.post("/create", data={"title": ""}).status_code == 400
    assert ada.post("/posts/1/title", data={"title": ""}).status_code == 400
    assert ada.post("/posts/1/title", data={}).status_code == 400
    answer = ada.post("/posts/9/title", data={"title": "x"})
    assert answer.status_code == 404
    assert "There is no post 9." in answer.text
    assert ada.get("/posts/9").status_code == 404


def test_connections_are_closed(app: Flask):
    """The connection of a context is one, and closed with it."""
    with app.app_context():
        db = get_db()
        assert db is get_db()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")
