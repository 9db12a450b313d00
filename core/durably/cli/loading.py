"""Loading what `MODULE:APP` names, and finding out what it is.

Owns the import, with the working directory in the path as web servers have it, and the search for services: those of
`durably.app` and `durably.wsgi_app` are asked for; those of an adapter for a web framework are found by its link, which
Flask applications keep with their extensions.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from durably.authoring.services import DefinedService
from durably.cli.exits import CommandError, Exit
from durably.endpoint import Endpoint
from durably.errors import DurablyError
from durably.hosting.asgi import AsgiApp
from durably.hosting.wsgi import WsgiApp
from durably.web.link import Link, links
from durably.web.looking import looking

if TYPE_CHECKING:
    from durably.authoring.handlers import Handler

__all__ = ["Kind", "LoadError", "Loaded", "load"]

_FRAMEWORKS: Final = (
    ("fastapi.", "FASTAPI"),
    ("starlette.applications", "STARLETTE"),
    ("flask.", "FLASK"),
    ("quart.", "ASGI"),
    ("django.core.handlers.asgi", "DJANGO_ASGI"),
    ("durably_django.asgi", "DJANGO_ASGI"),
    ("durably_django.wsgi", "DJANGO_WSGI"),
    ("django.core.handlers.wsgi", "DJANGO_WSGI"),
)
_WSGI_PARAMETERS: Final = 2
_SETTINGS_MODULE: Final = re.compile(r"""["']DJANGO_SETTINGS_MODULE["'],\s*["']([\w.]+)\.\w+["']""")


class LoadError(CommandError):
    """What was named cannot be loaded, or is no application."""

    exit_code = Exit.USAGE


class Kind(enum.Enum):
    """What an application is; the value is for people."""

    SERVICES = "durably services"
    DURABLY_ASGI = "durably ASGI app"
    DURABLY_WSGI = "durably WSGI app"
    FASTAPI = "FastAPI app"
    STARLETTE = "Starlette app"
    FLASK = "Flask app"
    DJANGO_ASGI = "Django app (ASGI)"
    DJANGO_WSGI = "Django app (WSGI)"
    ASGI = "ASGI app"
    WSGI = "WSGI app"

    @property
    def with_article(self) -> str:
        """The value in a sentence."""
        return f"{'an' if self.value[0] == 'A' else 'a'} {self.value}"

    @property
    def is_wsgi(self) -> bool:
        """Whether it is served by WSGI servers."""
        return self in (Kind.DURABLY_WSGI, Kind.FLASK, Kind.DJANGO_WSGI, Kind.WSGI)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An application.

    Attributes:
        target: As it was named.
        application: What a server serves.
        kind: What it is.
        endpoints: Where its services are bound; empty where they cannot be seen.
        link: Of the adapter that it has; None without one.
        starts: Start what would have started with the import.
    """

    target: str
    application: Any
    kind: Kind
    endpoints: tuple[Endpoint, ...]
    link: Link | None
    starts: tuple[Callable[[], object], ...] = ()

    def find(self, service: str, handler: str) -> tuple[Handler, Endpoint] | None:
        """Give a handler with what it belongs to."""
        for endpoint in self.endpoints:
            found = endpoint.find(service, handler)
            if found is not None:
                return found, endpoint
        return None

    @property
    def services(self) -> dict[str, list[str]]:
        """The handlers of each service, by name."""
        return {
            name: sorted(service.handlers)
            for endpoint in self.endpoints
            for name, service in sorted(endpoint.services.items())
        }


def load(target: str) -> Loaded:
    """Load `MODULE:APP`; `APP` may be dotted, and a factory is called as `MODULE:make_app()`. Nothing is started.

    Raises:
        LoadError: It cannot be imported, is not there, or is no application.
        DurablyError: A service of it cannot work.
    """
    module_name, colon, path = target.partition(":")
    if not module_name or not colon or not path:
        raise LoadError(f"{target!r} does not name an application.", hint=_how_to_name(target))
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with looking() as looked:
        found = _attribute(_imported(module_name), path.removesuffix("()"), target)
        if path.endswith("()"):
            found = found()
    return replace(_classified(target, found), starts=tuple(looked.starts))


def _how_to_name(target: str) -> str:
    """Say what to write instead; `manage.py` knows its project."""
    if target.rpartition("/")[2] == "manage.py" and os.path.isfile(target):
        with open(target, encoding="utf-8") as script:
            project = _SETTINGS_MODULE.search(script.read())
        if project is not None:
            return f"Write {project[1]}.asgi:application, or {project[1]}.wsgi:application."
    return "Write MODULE:APP, as shop.app:app."


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise LoadError(
                f"There is no module {error.name!r} in {os.getcwd()}.", hint="Go to the folder that has it."
            ) from error
        raise LoadError(f"{name} cannot be imported: it needs {error.name!r}, which is not installed.") from error
    except Exception as error:
        raise LoadError(
            f"{name} cannot be imported: {type(error).__name__}: {error}",
            hint=f"At {_place(error)}; --debug shows more.",
        ) from error


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def _attribute(module: Any, path: str, target: str) -> Any:
    found = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise LoadError(f"{target!r}: {module.__name__} has no {path!r}.") from error
    return found


def _classified(target: str, found: Any) -> Loaded:
    own = _own_link(found)
    linked = links() if own is None else [own]
    bound: tuple[Endpoint, ...] = tuple({id(each.endpoint): each.endpoint for each in linked}.values())
    link = linked[0] if linked else None
    if isinstance(found, AsgiApp):
        return Loaded(target, found, Kind.DURABLY_ASGI, (cast("Endpoint", found.endpoint),), None)
    if isinstance(found, WsgiApp):
        return Loaded(target, found, Kind.DURABLY_WSGI, (cast("Endpoint", found.endpoint),), None)
    if isinstance(found, Endpoint):
        return Loaded(target, found.app(), Kind.SERVICES, (found,), None)
    if isinstance(found, DefinedService):
        found = [found]
    if type(found) in (list, tuple, set):
        services: list[Any] = [*found]
        if not services or not all(isinstance(each, DefinedService) for each in services):
            raise LoadError(f"{target!r} is a {type(found).__name__}, and not of services.")
        endpoint = Endpoint().bind(*services)
        return Loaded(target, endpoint.app(), Kind.SERVICES, (endpoint,), None)
    if not callable(found):
        raise LoadError(f"{target!r} is a {type(found).__name__}, which nothing can serve.")
    return Loaded(target, found, _kind_of(found), bound, link)


def _own_link(application: Any) -> Link | None:
    """Give the link that an application keeps itself, with its extensions, and makes when it is first asked for.

    Raises:
        LoadError: It cannot be made.
    """
    extensions: Any = getattr(application, "extensions", None)
    keeper: Any = cast("dict[str, Any]", extensions).get("durably") if isinstance(extensions, dict) else application
    try:
        link = getattr(keeper, "link", None)
    except DurablyError as error:
        raise LoadError(f"Its Durably cannot be used: {error.message}", hint=error.hint) from error
    return link if isinstance(link, Link) else None


def _kind_of(application: Any) -> Kind:
    for each in type(application).__mro__:
        for prefix, name in _FRAMEWORKS:
            if f"{each.__module__}.".startswith(prefix) or each.__module__ == prefix:
                return Kind[name]
    call: Any = application if inspect.isroutine(application) else type(application).__call__
    if inspect.iscoroutinefunction(call):
        return Kind.ASGI
    try:
        parameters = [
            each
            for each in inspect.signature(application).parameters.values()
            if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
    except ValueError:
        return Kind.ASGI
    return Kind.WSGI if len(parameters) == _WSGI_PARAMETERS else Kind.ASGI
