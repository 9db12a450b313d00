"""The extensions: the database, the mail, and the runtime of what is durable.

The identity is what a durable view may know of its caller: it is kept with the request, the session cookie is not.
"""

from __future__ import annotations

from typing import Any

from flask import g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase

from durably_flask import Durably
from reports.post import Post

__all__ = ["Base", "db", "durably", "post"]


class Base(DeclarativeBase):
    """What the models inherit from."""


def caller() -> dict[str, Any] | None:
    """Tell who calls; `auth` has found that out before any view runs."""
    user = g.get("user")
    return None if user is None else {"id": user.id, "name": user.name}


db = SQLAlchemy(model_class=Base)
post = Post()
durably = Durably(identity=caller)
