"""System checks: what in a project's settings will not work, before it is served.

Owns the checks `durably.E001` and so on; `manage.py check` and `runserver` run them.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.urls import NoReverseMatch, reverse

from durably.errors import ConfigurationError, DurablyError
from durably.web.settings import Settings
from durably_django.discovery import all_patterns
from durably_django.settings import configured, max_connections

__all__ = ["check_routes", "check_settings", "register_checks"]

_BUFFERING: Final = frozenset({"django.middleware.gzip.GZipMiddleware"})


def register_checks() -> None:
    """Let Django run the checks; a second time changes nothing."""
    register(check_settings, Tags.compatibility)
    register(check_routes, Tags.urls)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Look at `DURABLY` and at what stands beside it."""
    try:
        read = configured()
        max_connections()
    except ConfigurationError as error:
        return [Error(error.message, hint=error.hint, id="durably.E001")]
    found: list[CheckMessage] = []
    if not getattr(settings, "DURABLY", None):
        found.append(
            Warning(
                "DURABLY is not set: durable handlers run on sqlite:///durably.db in the working directory.",
                hint='Set DURABLY = {"URL": "sqlite:////var/lib/app/durably.db"}, or the URL of a Restate Server.',
                id="durably.W001",
            )
        )
    if not read.is_embedded:
        found.extend(_check_remote(read))
    return found


def _check_remote(read: Settings) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.DEBUG and not read.identity_keys and not read.allow_unsigned:
        found.append(
            Warning(
                "Requests of the Restate Server are not signed: only a server on this machine is let in.",
                hint='Set DURABLY["IDENTITY_KEYS"] to the server\'s public keys.',
                id="durably.W002",
            )
        )
    if _BUFFERING & set(settings.MIDDLEWARE):
        found.append(
            Warning(
                "GZipMiddleware compresses what the Restate Server reads.",
                hint="Serve with durably_django.asgi, which answers the server before any middleware.",
                id="durably.W003",
            )
        )
    return found


def check_routes(**_: Any) -> list[CheckMessage]:
    """Look at the URL configuration: durably's routes are there, below the prefix; durable views can be registered."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    try:
        read = configured()
        path = reverse("durably:health")
    except ConfigurationError:
        return []  # reported above
    except NoReverseMatch:
        return [
            Warning(
                "The routes of durably are not in the URL configuration: results cannot be fetched later.",
                hint='Add path("restate/", include("durably_django.urls")).',
                id="durably.W004",
            )
        ]
    found: list[CheckMessage] = []
    if not path.endswith(f"{read.prefix}/health"):
        found.append(
            Error(
                f"The routes of durably stand at {path.removesuffix('/health')}, but PREFIX is {read.prefix}.",
                hint='Give path("restate/", …) and DURABLY["PREFIX"] = "/restate" the same value.',
                id="durably.E002",
            )
        )
    return found + _check_views()


def _check_views() -> list[CheckMessage]:
    from durably_django.classes import register_methods

    found: list[CheckMessage] = []
    for pattern in all_patterns():
        try:
            register_methods(pattern.callback)
        except DurablyError as error:
            found.append(Error(error.message, hint=error.hint, id="durably.E003"))
    return found
