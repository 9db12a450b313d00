"""System checks: what in a project's settings will not work, before it is served.

Owns the checks below; `manage.py check` and `runserver` run them.

| id | what |
|---|---|
| `durably.E001` | a setting cannot work |
| `durably.E002` | the routes stand elsewhere than `PREFIX` says |
| `durably.E003` | a durable method of a class-based view cannot be registered |
| `durably.E004` | the engine's file is on a network file system, as when several hosts share it |
| `durably.E005` | `ATOMIC_REQUESTS` reaches a durable view, because a decorator hides that it is exempt |
| `durably.W001` | no `URL` is set |
| `durably.W002` | requests of the Restate Server are not signed |
| `durably.W003` | middleware compresses or caches what the Restate Server reads |
| `durably.W004` | the routes are missing |
| `durably.W005` | the engine keeps all in memory, or in the working directory, outside of `DEBUG` |
| `durably.W006` | an `async def` view under `ATOMIC_REQUESTS`, which Django refuses to serve |
| `durably.W007` | the folder of the engine's file does not exist |
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from asgiref import sync
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.urls import NoReverseMatch, reverse

from durably.engine.locations import read_url
from durably.engine.store.filesystems import NETWORK_FILE_SYSTEMS, magic_of
from durably.errors import ConfigurationError, DurablyError
from durably.web.settings import Settings
from durably_django.decorating import is_durable
from durably_django.discovery import all_patterns
from durably_django.settings import configured, configured_objects, max_connections

__all__ = ["check_routes", "check_settings", "register_checks"]

_COMPRESSING: Final = re.compile(
    r"gzip|compress|brotli|zstd|minif|(UpdateCache|FetchFromCache|Cache)Middleware$", re.IGNORECASE
)
"""Names of middleware that changes or keeps the bodies of responses: Django's, and that of well-known packages."""


def register_checks() -> None:
    """Let Django run the checks; a second time changes nothing."""
    register(check_settings, Tags.compatibility)
    register(check_routes, Tags.urls)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Look at `DURABLY` and at what stands beside it."""
    try:
        read = configured()
        max_connections()
        configured_objects()
    except ConfigurationError as error:
        return [
            Error(
                error.message,
                hint=error.hint or "Correct DURABLY in the settings, or DURABLY_… in the environment.",
                id="durably.E001",
            )
        ]
    given: dict[str, Any] = getattr(settings, "DURABLY", {})
    found: list[CheckMessage] = []
    if "URL" not in {name.upper() for name in given} and "DURABLY_URL" not in os.environ:
        found.append(
            Warning(
                "DURABLY has no URL: durable handlers run on sqlite:///durably.db in the working directory.",
                hint='Set DURABLY = {"URL": "sqlite:////var/lib/app/durably.db"}, or the URL of a Restate Server.',
                id="durably.W001",
            )
        )
    elif read.is_embedded and not settings.DEBUG:
        found.extend(_check_permanence(read))
    found.extend(_check_place(read) if read.is_embedded else _check_remote(read))
    return found


def _check_permanence(read: Settings) -> list[CheckMessage]:
    path = read_url(read.url).path
    if path is not None and os.path.isabs(path):
        return []
    what = (
        "in memory: it is lost with each process, and processes do not share it"
        if path is None
        else "in a file of the working directory: a process that starts elsewhere has another engine"
    )
    return [
        Warning(
            f"DURABLY keeps what handlers do {what}.",
            hint='Set DURABLY["URL"] to an absolute path, as "sqlite:////var/lib/app/durably.db".',
            id="durably.W005",
        )
    ]


def _check_place(read: Settings, magic: Callable[[str], int | None] = magic_of) -> list[CheckMessage]:
    path = read_url(read.url).path
    if path is None:
        return []
    folder = place = Path(path).absolute().parent
    while not place.exists() and place != place.parent:
        place = place.parent
    found: list[CheckMessage] = []
    if place != folder:
        found.append(
            Warning(
                f"The folder of the engine's file {path} does not exist: durable views cannot be served without it.",
                hint=f"Make {folder}, for the account that the web server runs as.",
                id="durably.W007",
            )
        )
    name = NETWORK_FILE_SYSTEMS.get(magic(str(place)) or 0)
    if name is None:
        return found
    return [
        *found,
        Error(
            f"The engine's file {path} is on a network file system ({name}), where its locks do not hold.",
            hint='Put it on a local disk. For several hosts, run a Restate Server, and set DURABLY["URL"] to it.',
            id="durably.E004",
        ),
    ]


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
    found.extend(
        Warning(
            f"{name} may compress, change or keep what the Restate Server reads.",
            hint="Serve with durably_django.asgi, which answers the server before any middleware, or let the middleware"
            f" leave {read.prefix}/ alone.",
            id="durably.W003",
        )
        for name in settings.MIDDLEWARE
        if _COMPRESSING.search(name)
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
    return found + _check_methods() + _check_atomic_requests()


def _check_methods() -> list[CheckMessage]:
    from durably_django.classes import register_methods

    found: list[CheckMessage] = []
    for pattern in all_patterns():
        try:
            register_methods(pattern.callback)
        except DurablyError as error:
            found.append(Error(error.message, hint=error.hint, id="durably.E003"))
    return found


def _check_atomic_requests() -> list[CheckMessage]:
    """Look for views that a transaction of the request must not, or cannot, be around."""
    atomic = {alias for alias in connections if connections.settings[alias]["ATOMIC_REQUESTS"]}
    found: list[CheckMessage] = []
    for pattern in all_patterns():
        view: Any = pattern.callback
        exempt: set[str] = getattr(view, "_non_atomic_requests", None) or set()
        if not atomic - exempt:
            continue
        if any(is_durable(each) for each in _layers(view)):
            found.append(
                Error(
                    f"ATOMIC_REQUESTS reaches the durable view at {str(pattern.pattern)!r}: the transaction would stay"
                    " open while the call waits for its result.",
                    hint="Use functools.wraps in the decorator above @durable, or @transaction.non_atomic_requests.",
                    id="durably.E005",
                )
            )
        elif sync.iscoroutinefunction(view):  # pyright: ignore[reportDeprecated]
            found.append(
                Warning(
                    f"ATOMIC_REQUESTS is on, and the view at {str(pattern.pattern)!r} is async def: Django refuses it.",
                    hint="Put @transaction.non_atomic_requests on the view.",
                    id="durably.W006",
                )
            )
    return found


def _layers(view: Any) -> Iterator[Any]:
    """Give a view and what its decorators wrap."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)
