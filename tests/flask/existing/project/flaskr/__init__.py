"""A small blog, in the shape that Flask's tutorial teaches: a factory, blueprints, and SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from flaskr import auth, blog, db


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application."""
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY="dev", DATABASE="flaskr.sqlite")
    app.config.from_mapping(config or {})
    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(blog.bp)
    return app
