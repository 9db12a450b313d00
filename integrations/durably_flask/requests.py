"""HTTP requests on their way through the journal.

Owns what is stored of a request, what never is, and the request context that an attempt gets from it. Stored is what
the web server and the middleware have said about the request, after which Flask sees on an attempt the URL, headers,
forms and files that it saw when the call arrived.

| part | stored |
|---|---|
| method, URL, query, headers, the peer's address | yes |
| `Authorization`, `Cookie`, `Proxy-Authorization`, and headers of API keys | never |
| body | yes, up to `max_upload_bytes` |
| session | no: looking into it on an attempt is a terminal error that says so |
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from flask import Flask
from flask.ctx import RequestContext
from flask.sessions import SessionMixin
from flask.wrappers import Request
from werkzeug.wsgi import get_input_stream

from durably.errors import TerminalError

__all__ = ["CREDENTIAL_HEADERS", "StoredRequest", "limit_body", "store_request"]

CREDENTIAL_HEADERS: Final = frozenset(
    {
        *("authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token", "x-access-token"),
        *("x-csrf-token", "x-csrftoken", "x-amz-security-token", "x-forwarded-access-token"),
    }
)
"""Headers that are never stored; names in lower case."""

_CONNECTION_HEADERS: Final = frozenset({"connection", "expect", "te", "transfer-encoding", "upgrade", "keep-alive"})
_VARIABLES: Final = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"),
    *("REMOTE_ADDR", "CONTENT_TYPE", "wsgi.url_scheme"),
)


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request as it was stored.

    Attributes:
        endpoint: Flask's name of the view.
        environ: The text variables of its WSGI environment.
        body: Its bytes.
        identity: What the identity hook gave.
    """

    endpoint: str
    environ: Mapping[str, str]
    body: bytes
    identity: Any

    def to_json(self) -> bytes:
        """Write it.

        Raises:
            TypeError: The identity is not JSON.
            ValueError: The same.
        """
        content: dict[str, Any] = {"endpoint": self.endpoint, "environ": dict(self.environ)}
        if self.identity is not None:
            content["identity"] = self.identity
        try:
            content["body"] = self.body.decode("utf-8")
        except UnicodeDecodeError:
            content["base64"] = base64.b64encode(self.body).decode("ascii")
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    @classmethod
    def from_json(cls, data: bytes) -> StoredRequest:
        """Read it.

        Raises:
            TerminalError: Somebody called the handler with something else.
        """
        try:
            content: Any = json.loads(data.decode("utf-8", "surrogatepass"))
            body = base64.b64decode(content["base64"]) if "base64" in content else content["body"].encode("utf-8")
            environ = {str(name): str(value) for name, value in content["environ"].items()}
            return cls(str(content["endpoint"]), environ, body, content.get("identity"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TerminalError(
                "The input is no stored request: this handler belongs to a view, so call its URL.", 400
            ) from error

    def context(self, app: Flask) -> RequestContext:
        """Give the request context for an attempt."""
        environ: dict[str, Any] = {
            **self.environ,
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.version": (1, 0),
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        return RequestContext(app, environ, session=AttemptSession())


class AttemptSession(SessionMixin):
    """The session of an attempt: there is none, because cookies are not stored, so looking into it is refused.

    An empty one would let views take who is logged in for a stranger.
    """

    @property
    def permanent(self) -> bool:
        """Refused, as everything else."""
        self._refuse()

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self._refuse()

    def __getitem__(self, key: str) -> Any:
        self._refuse()

    def __setitem__(self, key: str, value: Any) -> None:
        self._refuse()

    def __delitem__(self, key: str) -> None:
        self._refuse()

    def __iter__(self) -> Iterator[str]:
        self._refuse()

    def __len__(self) -> int:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TerminalError(
            "A durable view has no session: the cookie is a credential and not stored, and no browser takes a new one "
            "on an attempt. Take what the view needs with Durably(identity=...), which runs when the call arrives; "
            "change the session in a view that is not durable."
        )


def store_request(request: Request, identity: Any, secret_headers: Iterable[str] = ()) -> StoredRequest:
    """Take what is stored of the request that arrived."""
    left_out = {f"HTTP_{name.upper().replace('-', '_')}" for name in (*CREDENTIAL_HEADERS, *_CONNECTION_HEADERS)}
    left_out.update(f"HTTP_{name.upper().replace('-', '_')}" for name in secret_headers)
    environ = {
        name: value
        for name, value in request.environ.items()
        if isinstance(value, str) and (name in _VARIABLES or (name.startswith("HTTP_") and name not in left_out))
    }
    return StoredRequest(request.endpoint or "", environ, request.get_data(), identity)


def limit_body(request: Request, limit: int) -> None:
    """Read the body, before anybody takes it apart, and keep it.

    Raises:
        RequestEntityTooLarge: It is larger than `limit`.
    """
    given = request.max_content_length
    if "stream" not in vars(request):  # a cached property; its limit could not be set before Flask 3.1
        least = limit if given is None else min(limit, given)
        vars(request)["stream"] = get_input_stream(request.environ, max_content_length=least)
    request.get_data()
