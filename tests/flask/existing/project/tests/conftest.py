"""The blog's fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flaskr import create_app
from flaskr.db import init_db


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Give an application with a database of its own."""
    app = create_app({"TESTING": True, "DATABASE": str(tmp_path / "test.sqlite")})
    with app.app_context():
        init_db()
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Give a client."""
    return app.test_client()


@pytest.fixture
def ada(client: FlaskClient) -> FlaskClient:
    """Give a client who is logged in."""
    client.post("/auth/register", data={"name": "ada", "password": "a"})
    client.post("/auth/login", data={"name": "ada", "password": "a"})
    return client
