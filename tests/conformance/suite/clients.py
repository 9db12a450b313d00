"""HTTP clients for the ingress and the admin API, on the standard library.

Owns the mapping of contract calls to requests. Every call carries a fresh idempotency key unless told otherwise, so a
call whose connection broke can be made again without harm. No call outlives the deadline of its scenario.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Admin", "Answer", "Deadline", "Ingress", "InvocationFailedError", "Submission"]

ResultT = TypeVar("ResultT")
NOT_COMPLETE = 470
_NOTHING: Any = object()


class Deadline:
    """The moment at which a scenario has failed.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Give the seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"The scenario did not finish within {self.seconds:.0f} s")
        return left


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with its body read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def value(self) -> Any:
        """Decode the JSON body; an empty one is None."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Submission:
    """What the ingress said to a send."""

    invocation_id: str
    status: str


class InvocationFailedError(Exception):
    """An answer with an error status.

    Attributes:
        status: The HTTP status.
        message: The failure's message.
        metadata: The failure's metadata.
    """

    def __init__(self, answer: Answer) -> None:
        """Read the error body, whatever it is."""
        self.status = answer.status
        try:
            body: dict[str, Any] = json.loads(answer.body)
        except ValueError:
            body = {"message": answer.body.decode(errors="replace")}
        self.message = str(body.get("message", ""))
        self.metadata: dict[str, str] = body.get("metadata") or {}
        super().__init__(f"{answer.status}: {body}")


class _Http:
    def __init__(self, url: str, deadline: Deadline) -> None:
        parsed = urllib.parse.urlsplit(url)
        self._address = (parsed.hostname or "127.0.0.1", parsed.port or 80)
        self.deadline = deadline

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make one request on a connection of its own."""
        connection = http.client.HTTPConnection(*self._address, timeout=self.deadline.remaining())
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        except TimeoutError as timeout:
            raise TimeoutError(f"{method} {path} was not answered before the scenario's deadline") from timeout
        finally:
            connection.close()


def _path(*parts: str) -> str:
    return "/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


class Ingress(_Http):
    """Calls handlers from outside. A target is `(service, handler)` or `(service, key, handler)`."""

    def raw(
        self,
        *target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Call a handler with bytes and give the answer, whatever its status."""
        key = idempotency_key or str(uuid.uuid4())
        return self.request("POST", _path(*target), body, {"idempotency-key": key} | dict(headers or {}))

    def call(self, *target: str, argument: Any = _NOTHING, idempotency_key: str | None = None) -> Any:
        """Call a handler with a JSON argument and give its result.

        Raises:
            InvocationFailedError: It failed.
        """
        body, headers = _json(argument)
        return _result(self.raw(*target, body=body, headers=headers, idempotency_key=idempotency_key))

    def send(self, *target: str, argument: Any = _NOTHING, idempotency_key: str | None = _NOTHING) -> Submission:
        """Submit an invocation without waiting for it. An `idempotency_key` of None sends none."""
        body, headers = _json(argument)
        if idempotency_key is not None:
            headers["idempotency-key"] = str(uuid.uuid4()) if idempotency_key is _NOTHING else idempotency_key
        submitted = _result(self.request("POST", _path(*target) + "/send", body, headers))
        return Submission(submitted["invocationId"], submitted["status"])

    def attach(self, invocation_id: str) -> Any:
        """Wait for an invocation and give its result."""
        return _result(self.request("GET", f"/restate/invocation/{invocation_id}/attach"))

    def output_by_key(self, *target: str, idempotency_key: str) -> Any:
        """Give the result of a completed invocation that was made with an idempotency key."""
        return _result(self.request("GET", _path("restate", "invocation", *target, idempotency_key, "output")))

    def workflow(self, name: str, key: str, operation: str) -> Any:
        """Attach to a workflow or give its output."""
        return _result(self.request("GET", _path("restate", "workflow", name, key, operation)))

    def insist(self, attempt: Callable[[], ResultT]) -> ResultT:
        """Make a call again while its connection breaks; it must carry a fixed idempotency key."""
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException):
                if self.deadline.remaining() < 0.1:
                    raise
                time.sleep(0.05)


class Admin(_Http):
    """Operates on invocations and asks for their state."""

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Ask a question in SQL and give the rows."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        answer = self.request("POST", "/query", json.dumps({"query": sql}).encode(), headers)
        rows: list[dict[str, Any]] = _result(answer)["rows"]
        return rows

    def deployment(self, deployment_id: str) -> dict[str, Any]:
        """Give what is registered under an id."""
        registered: dict[str, Any] = _result(self.request("GET", f"/deployments/{deployment_id}"))
        return registered

    def end(self, invocation_id: str, how: str) -> int:
        """`cancel` or `kill` an invocation; give the status: 404 and 409 mean that it was over already."""
        answer = self.request("PATCH", f"/invocations/{invocation_id}/{how}")
        if answer.status not in (200, 202, 404, 409):
            raise InvocationFailedError(answer)
        return answer.status

    def put_rule(self, pattern: str, concurrency: int) -> None:
        """Limit how many invocations of a scope and limit key run at once."""
        rule = [{"pattern": pattern, "limits": {"concurrency": concurrency}}]
        headers = {"content-type": "application/json"}
        _result(self.request("PUT", "/limits/rules", json.dumps(rule).encode(), headers))


def _json(argument: Any) -> tuple[bytes | None, dict[str, str]]:
    if argument is _NOTHING:
        return None, {}
    return json.dumps(argument).encode(), {"content-type": "application/json"}


def _result(answer: Answer) -> Any:
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise InvocationFailedError(answer)
    return answer.value()
