"""Who is there: registration, log-in, and the decorator for views that want to know."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, g, redirect, request, session
from werkzeug.security import check_password_hash, generate_password_hash

from flaskr.db import get_db

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.before_app_request
def load_user() -> None:
    """Find out who is logged in."""
    user_id = session.get("user_id")
    g.user = None
    if user_id is not None:
        g.user = get_db().execute("SELECT * FROM user WHERE id = ?", (user_id,)).fetchone()


def login_required(view: Callable[..., Any]) -> Callable[..., Any]:
    """Send strangers to the log-in."""

    @functools.wraps(view)
    def wrapped(**values: Any) -> Any:
        return redirect("/auth/login") if g.user is None else view(**values)

    return wrapped


@bp.post("/register")
def register() -> Any:
    """Add a user."""
    hashed = generate_password_hash(request.form["password"], "pbkdf2:sha256:1")
    get_db().execute("INSERT INTO user (name, password) VALUES (?, ?)", (request.form["name"], hashed))
    get_db().commit()
    return redirect("/auth/login")


@bp.post("/login")
def login() -> Any:
    """Log in."""
    user = get_db().execute("SELECT * FROM user WHERE name = ?", (request.form["name"],)).fetchone()
    if user is None or not check_password_hash(user["password"], request.form["password"]):
        abort(403)
    session.clear()
    session["user_id"] = user["id"]
    return redirect("/")
