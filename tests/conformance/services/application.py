"""What the web servers load: the contract services as an ASGI or a WSGI application.

Owns the reading of the process's environment:

    DURABLY_CONFORMANCE_HANDLERS   `async` (default) or `sync`
    E2E_REQUEST_SIGNING            the public key that requests must be signed for; unset accepts unsigned ones
    DURABLY_CONFORMANCE_MAX_PROTOCOL  the newest protocol version to offer; unset offers what the package can do
    SERVICES                       names of the services to bind, separated by commas; unset binds all
    DURABLY_WITNESS_LOG            where the witness writes; see `witnessing`
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from tests.conformance.services.peer import restate

__all__ = ["asgi", "wsgi"]

THEMES = (
    "keyed",
    "failing",
    "cancelling",
    "proxying",
    "workflows",
    "scoped",
    "crashing",
    "commands",
    "interpreting",
    "witnessed",
)


def _bound() -> list[Any]:
    package = "synchronous" if os.environ.get("DURABLY_CONFORMANCE_HANDLERS") == "sync" else "asynchronous"
    modules = [importlib.import_module(f"tests.conformance.services.{package}.{theme}") for theme in THEMES]
    services = [service for module in modules for service in module.services]
    wanted = os.environ.get("SERVICES")
    return services if not wanted else [service for service in services if service.name in wanted.split(",")]


def _identity_keys() -> list[str] | None:
    key = os.environ.get("E2E_REQUEST_SIGNING")
    return [key] if key else None


def asgi() -> Any:
    """Make the ASGI application."""
    application: Any = restate.app(_bound(), identity_keys=_identity_keys())
    newest = os.environ.get("DURABLY_CONFORMANCE_MAX_PROTOCOL")
    return application if newest != "5" else _offering(application, int(newest))


def _offering(application: Any, newest: int) -> Any:
    """Wrap an application so that its discovery offers no version after `newest`."""

    async def offering(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/discover"):
            await application(scope, receive, send)
            return
        held: list[Any] = []

        async def rewrite(event: Any) -> None:
            held.append(event)
            if event["type"] != "http.response.body" or event.get("more_body", False):
                return
            start = held[0]
            body = b"".join(each.get("body", b"") for each in held[1:])
            if start["status"] == 200:
                body = json.dumps(json.loads(body) | {"maxProtocolVersion": newest}).encode()
            headers = [(name, value) for name, value in start["headers"] if bytes(name).lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        await application(scope, receive, rewrite)

    return offering


def wsgi() -> Any:
    """Make the WSGI application."""
    return restate.wsgi_app(_bound(), identity_keys=_identity_keys())
