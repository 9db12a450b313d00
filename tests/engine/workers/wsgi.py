"""The app for WSGI servers, as the how-to shows it: the engine on a thread of its own, ended by `atexit`.

| name | engine |
|---|---|
| `create_app()` | made and started in the worker that calls this |
| `preloaded` | made at the import, before the server forks; `start_after_fork` starts it |
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flask import Flask

from tests.engine.workers.services import make_work, work_began

__all__ = ["create_app", "preloaded", "start_after_fork"]

_work = make_work(Path(os.environ["DURABLY_TEST_FOLDER"]))


def create_app() -> Flask:
    """Make the app with an engine that runs."""
    start_after_fork()
    return _app()


def start_after_fork() -> None:
    """Start the engine of this process, until its end."""
    life = ExitStack()
    atexit.register(life.close)
    life.enter_context(_work.engine)
    work_began(_work)


def _app() -> Flask:
    app = Flask(__name__)

    @app.post("/<handler>/<key>/send")
    def send(handler: str, key: str) -> tuple[dict[str, Any], int]:
        sent = _work.engine.sync_client().send(_work.handlers[handler], key, idempotency_key=key)
        return {"pid": os.getpid(), "value": sent.invocation_id}, 202

    @app.post("/<handler>/<key>")
    def call(handler: str, key: str) -> dict[str, Any]:
        value = _work.engine.sync_client().call(_work.handlers[handler], key, idempotency_key=key)
        return {"pid": os.getpid(), "value": value}

    return app


preloaded = _app()
