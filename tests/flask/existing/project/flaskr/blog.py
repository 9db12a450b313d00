"""Posts: everybody reads them, who is logged in writes some."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, g, redirect, request

from flaskr.auth import login_required
from flaskr.db import get_db

bp = Blueprint("blog", __name__)


@bp.get("/")
def index() -> Any:
    """List the posts."""
    return {"posts": [row["title"] for row in get_db().execute("SELECT title FROM post ORDER BY id")]}


@bp.post("/create")
@login_required
def create() -> Any:
    """Write a post."""
    title = request.form["title"]
    if not title:
        abort(400, "Title is required.")
    get_db().execute("INSERT INTO post (author_id, title) VALUES (?, ?)", (g.user["id"], title))
    get_db().commit()
    return redirect("/")


@bp.get("/posts/<int:post_id>")
def show(post_id: int) -> Any:
    """Show a post."""
    row = get_db().execute("SELECT title FROM post WHERE id = ?", (post_id,)).fetchone()
    if row is None:
        abort(404, f"There is no post {post_id}.")
    return {"title": row["title"]}


@bp.post("/posts/<int:post_id>/title")
def rename(post_id: int) -> Any:
    """Give a post another title."""
    title = request.form["title"]
    if not title:
        abort(400, "Title is required.")
    changed = get_db().execute("UPDATE post SET title = ? WHERE id = ?", (title, post_id))
    get_db().commit()
    if not changed.rowcount:
        abort(404, f"There is no post {post_id}.")
    return redirect(f"/posts/{post_id}")
