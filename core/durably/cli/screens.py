"""The first screen of `durably dev`: what runs, where, and what to try next."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from durably.authoring.handlers import ServiceKind
from durably.cli.loading import Kind, Loaded
from durably.cli.output import say

__all__ = ["Screen", "show_screen"]

_MOST_SERVICES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the screen says.

    Attributes:
        loaded: The application.
        server: Which web server.
        runtime: Which runtime, for people.
        app_url: Where the application is; None where it is not served itself.
        db: The engine's file, from here, or None.
        ingress_url: Where handlers are called; None where no port is open for it.
        admin_url: Where operators ask; likewise.
        endpoint_url: Where a runtime in another process calls handlers; None where there is none.
        reloads: Whether it starts again when code changes.
    """

    loaded: Loaded
    server: str
    runtime: str
    app_url: str | None
    db: str | None
    ingress_url: str | None
    admin_url: str | None
    endpoint_url: str | None
    reloads: bool


def show_screen(screen: Screen) -> None:
    """Write it."""
    loaded = screen.loaded
    adapter = " with durably" if loaded.link is not None else ""
    lines = [f"{loaded.target}: {loaded.kind.with_article}{adapter}, on {screen.server}", ""]
    if screen.app_url is not None:
        lines.append(f"  app       {screen.app_url}")
    lines.append(f"  runtime   {screen.runtime}")
    if screen.ingress_url is not None:
        lines.append(f"  ingress   {screen.ingress_url}")
    if screen.admin_url is not None:
        lines.append(f"  admin     {screen.admin_url}")
    services = loaded.services
    for number, (name, handlers) in enumerate(list(services.items())[:_MOST_SERVICES]):
        lines.append(f"  {'services' if number == 0 else '':8}  {name}: {', '.join(handlers)}")
    if len(services) > _MOST_SERVICES:
        lines.append(f"            … and {len(services) - _MOST_SERVICES} more")
    lines += ["", "Try next:", *(f"  {text}" for text in _next(screen)), ""]
    lines.append(
        "Restarts when a .py file below this folder changes. Ctrl-C stops it." if screen.reloads else "Ctrl-C stops it."
    )
    say("\n".join(lines))
    sys.stdout.flush()


def _callable(loaded: Loaded) -> str | None:
    """Give a handler as `durably call` takes it; plain services first, which need no key."""
    found = [service for endpoint in loaded.endpoints for service in endpoint.services.values()]
    for service in sorted(found, key=lambda each: each.kind is not ServiceKind.SERVICE):
        key = "" if service.kind is ServiceKind.SERVICE else "/a-key"
        for handler in service.handlers.values():
            return f"{service.name}{key}/{handler.name}{' JSON' if handler.takes_input else ''}"
    return None


def _next(screen: Screen) -> list[str]:
    where = f" --db {screen.db}" if screen.db is not None and screen.db != "durably.db" else ""
    if screen.db is None and screen.ingress_url is not None:
        where = f" --url {screen.ingress_url}"
        where += "" if screen.admin_url is None else f" --admin-url {screen.admin_url}"
    lines: list[str] = []
    if screen.app_url is not None and screen.loaded.kind is Kind.FASTAPI:
        lines.append(f"open {screen.app_url}/docs")
    called = _callable(screen.loaded)
    if called is not None and screen.loaded.link is None:
        lines.append(f"durably call {called}{where}")
    return [
        *lines,
        f"durably services{where}",
        f"durably invocations list{where}",
        f"durably doctor {screen.loaded.target if screen.endpoint_url is None else screen.endpoint_url + where}",
    ]
