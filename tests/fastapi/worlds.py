"""An application with its runtime and a client, and endpoints that exist twice: plain and durable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from durably.engine.options import EngineOptions
from durably_fastapi import Durably

__all__ = ["World"]


class World:
    """One application.

    Attributes:
        app: The application.
        durably: Its runtime.
        log: What dependencies and endpoints write down, in order.
    """

    def __init__(self, options: EngineOptions) -> None:
        """Make the application; it starts with the first request."""
        self.app = FastAPI()
        self.durably = Durably(self.app, url="memory://", options=options)
        self.log: list[str] = []
        self._client: TestClient | None = None

    @property
    def client(self) -> TestClient:
        """A client of the running application; register everything before."""
        if self._client is None:
            self._client = TestClient(self.app, raise_server_exceptions=False)
            self._client.__enter__()
        return self._client

    def twins(
        self, path: str, function: Callable[..., Any], *, method: str = "POST", **options: Any
    ) -> Callable[..., Any]:
        """Serve a function plain and durable; give what sends a request to both and compares the answers."""
        self.app.add_api_route(f"/plain{path}", function, methods=[method], **options)
        durable = self.durably.endpoint(function)
        self.app.add_api_route(f"/durable{path}", durable, methods=[method], **options)

        def compare(url: str, status: int, **request: Any) -> Any:
            plain = self.client.request(method, f"/plain{url}", **request)
            answer = self.client.request(method, f"/durable{url}", **request)
            assert plain.status_code == status, plain.text
            same = (answer.status_code, answer.content) == (plain.status_code, plain.content)
            assert same, f"plain: {plain.status_code} {plain.text}; durable: {answer.status_code} {answer.text}"
            assert answer.headers.get("content-type") == plain.headers.get("content-type")
            return answer

        return compare

    def close(self) -> None:
        """Stop the application."""
        if self._client is not None:
            self._client.__exit__(None, None, None)
