"""An application with its runtime and a client, and views that exist twice: plain and durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from durably.engine.options import EngineOptions
from durably_flask import Durably

__all__ = ["World"]


class World:
    """One application.

    Attributes:
        app: The application.
        durably: Its extension.
        log: What views and the functions around them write down, in order.
    """

    def __init__(self, options: EngineOptions, **settings: Any) -> None:
        """Make the application; its runtime starts with the first durable call."""
        self.app = Flask("world")
        self.app.testing = True
        self.app.config["PROPAGATE_EXCEPTIONS"] = False
        self.app.secret_key = "of the sessions"
        self.durably = Durably(self.app, options=options, **{"url": "memory://", **settings})
        self.log: list[str] = []

    @property
    def client(self) -> FlaskClient:
        """A client without cookies."""
        return self.app.test_client(use_cookies=False)

    def twins(self, path: str, function: Callable[..., Any], method: str = "POST") -> Callable[..., TestResponse]:
        """Serve a function plain and durable; give what sends a request to both and compares the answers."""
        name = function.__name__
        self.app.add_url_rule(f"/plain{path}", f"plain_{name}", function, methods=[method])
        self.app.add_url_rule(f"/durable{path}", f"durable_{name}", self.durably.endpoint(function), methods=[method])

        def compare(url: str, status: int, **request: Any) -> TestResponse:
            plain = self.client.open(f"/plain{url}", method=method, **request)
            answer = self.client.open(f"/durable{url}", method=method, **request)
            assert plain.status_code == status, plain.text
            assert (answer.status_code, answer.data) == (plain.status_code, plain.data)
            ours = {name: value for name, value in answer.headers.items() if name != "x-durably-invocation-id"}
            assert ours == dict(plain.headers.items())
            return answer

        return compare

    def close(self) -> None:
        """Stop the runtime."""
        self.durably.stop(self.app)
