"""Who is there: accounts with passwords, and sessions."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, abort, g, request, session
from sqlalchemy import select
from werkzeug.security import check_password_hash, generate_password_hash

from reports.extensions import db
from reports.models import User

__all__ = ["approver_required", "bp", "login_required"]

ViewT = TypeVar("ViewT", bound=Callable[..., Any])

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.before_app_request
def load_user() -> None:
    """Find out who calls."""
    user_id = session.get("user_id")
    g.user = None if user_id is None else db.session.get(User, user_id)


@bp.post("/register")
def register() -> Any:
    """Open an account."""
    name, password = request.form["name"], request.form["password"]
    if db.session.scalar(select(User).where(User.name == name)) is not None:
        abort(409, f"{name} is taken")
    db.session.add(User(name=name, email=request.form["email"], password_hash=generate_password_hash(password)))
    db.session.commit()
    return {"name": name}, 201


@bp.post("/login")
def login() -> Any:
    """Begin a session."""
    user = db.session.scalar(select(User).where(User.name == request.form["name"]))
    if user is None or not check_password_hash(user.password_hash, request.form["password"]):
        abort(401, "wrong name or password")
    session.clear()
    session["user_id"] = user.id
    return {"name": user.name}


@bp.post("/logout")
def logout() -> Any:
    """End the session."""
    session.clear()
    return "", 204


def login_required(view: ViewT) -> ViewT:
    """Let only those in who have logged in. It stands above `@durably.endpoint`, so it runs when the call arrives."""

    @wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        if g.user is None:
            abort(401, "log in first")
        return view(*args, **values)

    return cast("ViewT", checked)


def approver_required(view: ViewT) -> ViewT:
    """Let only approvers in."""

    @wraps(view)
    def checked(*args: Any, **values: Any) -> Any:
        if not g.user.is_approver:
            abort(403, "only approvers may do that")
        return view(*args, **values)

    return login_required(cast("ViewT", checked))
