"""The way to the project's runtime for those who look after it: admin pages and management commands.

Owns the choice. What is asked there is `durably.operations`.

| the runtime | is asked |
|---|---|
| an engine, and this process has it | in process, whether it drives its file or another process does |
| an engine's file, from a management command | by reading the file, and through the process that drives it |
| a server | at `DURABLY["ADMIN_URL"]`; without that, at port 9070 where its ingress has 8080 |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from durably.errors import ConfigurationError, DurablyError
from durably.operations.connections import Connection, Remote, choose, connect, connect_engine
from durably_django.runtime import runtime
from durably_django.settings import configured

if TYPE_CHECKING:
    from durably.engine.admin.app import AdminApp
    from durably.engine.engine import Engine
    from durably.engine.ingress.app import IngressApp
    from durably.web.settings import Settings

__all__ = ["Work", "advice", "ask", "ask_from_command", "connection_to_server"]

ResultT = TypeVar("ResultT")
Work = Callable[[Remote], Awaitable[ResultT]]

_PATIENCE_S: Final = 15.0  # somebody waits for a page

_apps: list[tuple[Engine, AdminApp, IngressApp]] = []
"""Of the engine that was asked last; there is one for each process, unless it was stopped and started again."""


def ask(work: Work[ResultT]) -> ResultT:
    """Do something with the runtime, for a page; an embedded engine starts, if nothing has started it.

    Raises:
        DurablyError: The runtime cannot be started or reached, or refuses.
    """
    settings = configured()
    if not settings.is_embedded:
        return asyncio.run(_with_server(work, settings, None))
    return _with_engine(work, _engine_of(runtime.link), settings)


def ask_from_command(work: Work[ResultT], admin_url: str | None = None) -> ResultT:
    """Do something with the runtime, for a management command, which starts none.

    Args:
        work: What.
        admin_url: Of a server, in place of what is set.

    Raises:
        DurablyError: The runtime cannot be reached, or refuses.
    """
    settings = configured()
    if admin_url is not None or not settings.is_embedded:
        return asyncio.run(_with_server(work, settings, admin_url))
    running = runtime.running_link
    if running is not None:
        return _with_engine(work, _engine_of(running), settings)
    from durably.engine.locations import read_url

    path = read_url(settings.url).path
    if path is None:
        raise ConfigurationError(
            f"{settings.url} is in the memory of the process that serves, where no other can look.",
            hint='Set DURABLY["URL"] to a file, as sqlite:////var/lib/app/durably.db.',
        )
    return asyncio.run(_with_file(work, path))


def connection_to_server(settings: Settings, admin_url: str | None = None) -> Connection:
    """Tell where a server's admin API is.

    Raises:
        ConfigurationError: It cannot be told.
    """
    ingress = None if settings.is_embedded else settings.url
    connection = choose(ingress, admin_url or settings.admin_url)
    if connection.admin_url is None:
        raise ConfigurationError(
            f"Where the admin API of {settings.url} is cannot be told.",
            hint='Set DURABLY["ADMIN_URL"] (and SERVICE_URL, where the server reaches this project).',
        )
    return connection


def advice(error: DurablyError) -> str | None:
    """Give the hint of an error, without naming options of the command line `durably`."""
    hint = error.hint
    if hint is None:
        return None
    if "--token" in hint:
        return "Set DURABLY_TOKEN in the environment."
    if "durably dev" in hint:
        return "Start the project, or manage.py durably_engine."
    if "--db" in hint or "--admin-url" in hint or "--url" in hint:
        return "Is it running? DURABLY in the settings says where it is."
    return hint


def _engine_of(link: Any) -> Engine:
    engine: Engine | None = link.engine
    assert engine is not None  # of a link that is embedded and started
    return engine


def _with_engine(work: Work[ResultT], engine: Engine, settings: Settings) -> ResultT:
    if not _apps or _apps[0][0] is not engine:
        _apps[:] = [(engine, engine.admin_app, engine.ingress_app)]
    _, admin, ingress = _apps[0]

    async def asked() -> ResultT:
        async with connect_engine(admin, ingress, settings.url) as remote:
            return await work(remote)

    if _is_on_loop():  # of another greenlet in this thread, which may be the engine's own
        return engine.run_blocking(asked())
    return asyncio.run(asked())


async def _with_server(work: Work[ResultT], settings: Settings, admin_url: str | None) -> ResultT:
    async with connect(connection_to_server(settings, admin_url), patience_s=_PATIENCE_S) as remote:
        return await work(remote)


async def _with_file(work: Work[ResultT], path: str) -> ResultT:
    async with connect(choose(db=path)) as remote:
        return await work(remote)


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
