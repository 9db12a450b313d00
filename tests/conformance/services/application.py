"""What the web servers load: the contract services as an ASGI or a WSGI application.

Owns the reading of the process's environment:

    DURABLY_CONFORMANCE_HANDLERS   `async` (default) or `sync`
    E2E_REQUEST_SIGNING            the public key that requests must be signed for; unset accepts unsigned ones
    SERVICES                       names of the services to bind, separated by commas; unset binds all
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from tests.conformance.services.peer import restate

__all__ = ["asgi", "wsgi"]

THEMES = ("keyed", "failing", "cancelling", "proxying", "workflows", "scoped", "crashing", "commands", "interpreting")


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
    return restate.app(_bound(), identity_keys=_identity_keys())


def wsgi() -> Any:
    """Make the WSGI application."""
    return restate.wsgi_app(_bound(), identity_keys=_identity_keys())
