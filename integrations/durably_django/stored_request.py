"""The HTTP request of a durable view, on its way through the journal.

Owns what of a request is stored, in which form, and the request that a view sees on an attempt.

| stored | left out |
|---|---|
| method, path, query string, body, values of the route | `Authorization`, `Cookie`, `Proxy-Authorization` |
| other headers, scheme, host, address of the caller | `X-CSRFToken`, `X-Api-Key`; with the cookie, the session |
| who the caller is: the user's primary key | the user's row, which each attempt reads anew |
| the language that was active | |
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final, cast

from django.apps import apps
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language

from durably.errors import SerdeError, UsageError
from durably.serde import Serde
from durably_django.messages import KeptMessages
from durably_django.uploads import body_of
from durably_django.values import from_json, to_json

__all__ = ["StoredRequest", "StoredRequestSerde"]

_CREDENTIALS: Final = frozenset(
    {"HTTP_AUTHORIZATION", "HTTP_COOKIE", "HTTP_PROXY_AUTHORIZATION", "HTTP_X_CSRFTOKEN", "HTTP_X_API_KEY"}
)
_KEPT: Final = frozenset(
    {
        "CONTENT_TYPE",
        "PATH_INFO",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "SERVER_NAME",
        "SERVER_PORT",
    }
)


class NoSessionError(UsageError, AttributeError):
    """There is no session on an attempt."""


class _NoSession:
    """Stands where the session stands on other requests; `hasattr` says that there is none."""

    def __get__(self, request: object, owner: object = None) -> Any:
        raise NoSessionError(
            "A durable view has no session: the session's key is a credential, and none is stored in the journal.",
            hint="Read what you need of it in a decorator or a middleware above @durable, and write to it there.",
        )


class AttemptRequest(WSGIRequest):
    """The request that a view sees on an attempt."""

    LANGUAGE_CODE: str
    session: Any = _NoSession()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRequest:
    """A request, as far as it is stored.

    Attributes:
        meta: Entries of `request.META`: the request line and the headers, without credentials.
        scheme: `http` or `https`.
        body: Its bytes.
        args: Positional values of the route.
        kwargs: Named values of the route.
        user: Primary key of the user who was logged in, as text; None for nobody.
        language: That was active; None for the project's.
    """

    meta: Mapping[str, str] = field(default_factory=dict[str, str])
    scheme: str = "http"
    body: bytes = b""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    user: str | None = None
    language: str | None = None

    @classmethod
    def of(cls, request: HttpRequest, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> StoredRequest:
        """Take what is stored of a request that has come in; reads its body."""
        body, content_type = body_of(request)
        meta = {
            name: value
            for name, value in request.META.items()
            if isinstance(value, str) and (name in _KEPT or (name.startswith("HTTP_") and name not in _CREDENTIALS))
        }
        meta["REQUEST_METHOD"] = request.method or "GET"
        meta["PATH_INFO"] = request.path_info
        meta["CONTENT_TYPE"] = content_type
        return cls(
            meta=meta,
            scheme=request.scheme or "http",
            body=body,
            args=args,
            kwargs=kwargs,
            user=user_key(request),
            language=get_language() if settings.USE_I18N else None,
        )

    def to_request(self) -> HttpRequest:
        """Make the request that the view sees; without a session, and with the user as it is now."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "CONTENT_TYPE": "",
            **self.meta,
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.input": BytesIO(self.body),
            "wsgi.url_scheme": self.scheme,
        }
        # What came as text of Django is text again only after the way back that WSGI prescribes.
        for name in ("PATH_INFO", "SCRIPT_NAME"):
            environ[name] = str(environ[name]).encode().decode("latin-1")
        request = AttemptRequest(environ)
        request.META["PATH_INFO"] = request.path_info
        _restore_user(request, self.user)
        if apps.is_installed("django.contrib.messages"):
            request.__dict__["_messages"] = KeptMessages()
        if self.language is not None:
            request.LANGUAGE_CODE = self.language
        return request


def user_key(request: HttpRequest) -> str | None:
    """Give the primary key of the user who is logged in, as text."""
    user: Any = getattr(request, "user", None)
    return None if user is None or not user.is_authenticated else str(user.pk)


def _restore_user(request: Any, key: str | None) -> None:
    """Give the request its user; read when it is asked for, in the thread that asks.

    A project without accounts gets none.
    """
    if not apps.is_installed("django.contrib.auth"):
        return

    def load() -> Any:
        return _load_user(key)

    async def load_async() -> Any:
        from asgiref.sync import sync_to_async

        return await sync_to_async(_load_user)(key)

    request.user = SimpleLazyObject(load)
    request.auser = load_async


def _load_user(key: str | None) -> Any:
    """Read the user.

    Raises:
        PermissionDenied: The account has been closed since.
    """
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import AnonymousUser

    if key is None:
        return AnonymousUser()
    user: Any = cast("Any", get_user_model())._default_manager.filter(pk=key).first()
    if user is None or not user.is_active:
        raise PermissionDenied("The account does not exist any more.")
    return user


class StoredRequestSerde(Serde[StoredRequest]):
    """Writes stored requests as JSON. Other services may leave out all but the values they have."""

    def serialize(self, obj: StoredRequest | None) -> bytes:
        """Write a request."""
        stored = obj or StoredRequest()
        content: dict[str, Any] = {
            "meta": dict(stored.meta),
            "scheme": stored.scheme,
            "args": [to_json(value) for value in stored.args],
            "kwargs": {name: to_json(value) for name, value in stored.kwargs.items()},
            "user": stored.user,
            "language": stored.language,
        }
        try:
            content["body"] = stored.body.decode("utf-8")
        except UnicodeDecodeError:
            content["base64"] = base64.b64encode(stored.body).decode("ascii")
        return json.dumps(content, separators=(",", ":")).encode()

    def deserialize(self, buf: bytes) -> StoredRequest:
        """Read a request.

        Raises:
            SerdeError: It is none.
        """
        try:
            content: Any = json.loads(buf) if buf else {}
            body = base64.b64decode(content["base64"]) if "base64" in content else content.get("body", "").encode()
            return StoredRequest(
                meta={str(name): str(value) for name, value in content.get("meta", {}).items()},
                scheme=content.get("scheme", "http"),
                body=body,
                args=tuple(from_json(value) for value in content.get("args", [])),
                kwargs={name: from_json(value) for name, value in content.get("kwargs", {}).items()},
                user=content.get("user"),
                language=content.get("language"),
            )
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise SerdeError("Not a stored request.", problems=("the body is no stored request",)) from error
