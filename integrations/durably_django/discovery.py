"""Finding what a project wants to have served.

Owns the search: `durable` modules of installed apps, whose services, objects and workflows are bound, and the URL
configuration, whose views register themselves on import and whose class-based views are completed here. It also tells
which paths lead to them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver, resolve
from django.utils.module_loading import module_has_submodule

from durably import Service, VirtualObject, Workflow

__all__ = ["all_patterns", "find_services", "find_views", "leads_to_durable"]

_MODULE = "durable"


def find_services() -> list[Service | VirtualObject | Workflow]:
    """Import the `durable` module of every installed app, and give the services that stand in them."""
    found: list[Service | VirtualObject | Workflow] = []
    for config in apps.get_app_configs():
        if config.module is None or not module_has_submodule(config.module, _MODULE):
            continue
        module = importlib.import_module(f"{config.name}.{_MODULE}")
        for value in vars(module).values():
            if isinstance(value, (Service, VirtualObject, Workflow)) and value not in found:
                found.append(value)
    return found


def find_views() -> None:
    """Import the URL configuration, and register the durable methods of its class-based views."""
    from durably_django.classes import register_methods

    for pattern in all_patterns():
        register_methods(pattern.callback)


def leads_to_durable(path: str) -> bool:
    """Say whether a path leads to a durable view, or to the result of one: to what waits."""
    from durably_django.classes import has_durable_methods
    from durably_django.decorating import is_durable
    from durably_django.routes import result

    try:
        view: Any = resolve(path).func
    except Resolver404:
        return False
    while view is not None:
        if view is result or is_durable(view) or has_durable_methods(view):
            return True
        view = getattr(view, "__wrapped__", None)
    return False


def all_patterns() -> Iterator[URLPattern]:
    """Walk the URL configuration; nothing in a project without one."""
    if getattr(settings, "ROOT_URLCONF", None):
        yield from _walk(get_resolver().url_patterns)


def _walk(patterns: Any) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns)
        else:
            yield pattern
