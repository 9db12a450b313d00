"""The configuration of gunicorn for an app that is imported before the fork: the engine is started after it."""

from __future__ import annotations

from typing import Any

from tests.engine.workers.wsgi import start_after_fork

__all__ = ["post_fork"]


def post_fork(server: Any, worker: Any) -> None:
    """Start the engine in a worker."""
    start_after_fork()
