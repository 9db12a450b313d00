"""The process that `durably dev` starts, and starts again when code changes: one application, served.

Owns what belongs to an application in development, decided by what it turns out to be:

| application | embedded engine | a given server |
|---|---|---|
| with an adapter (`Durably(app)`) | the adapter starts it, with the app | the adapter registers the app |
| services, `durably.app`, `durably.wsgi_app` | in this process, with HTTP APIs | served and registered from here |
| any other that may have a durably app mounted | beside it, as a process | served and registered from here |
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from durably.cli.exits import code_of, text_of
from durably.cli.loading import Kind, Loaded, load
from durably.cli.output import say, tell
from durably.cli.screens import Screen, show_screen
from durably.cli.servers import choose_server, serve
from durably.cli.services import tell_second_choice
from durably.client.transport import httpx_module
from durably.errors import DurablyError, UsageError
from durably.operations.connections import choose, connect
from durably.operations.registration import register_deployment

__all__ = ["DevOptions", "command_of", "main"]

_READY_S: Final = 30.0
_POLL_S: Final = 0.1
_PROBE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DevOptions:
    """What `durably dev` was asked for; see its help."""

    target: str
    host: str = "127.0.0.1"
    port: int = 8000
    url: str | None = None
    admin_url: str | None = None
    service_url: str | None = None
    db: str | None = None
    token: str | None = None
    ingress_port: int = 8080
    admin_port: int = 9070
    prefix: str = "/restate"
    server: str | None = None
    reloads: bool = True
    is_first: bool = True
    debug: bool = False

    @property
    def base_url(self) -> str:
        """Where the application is reached from this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - compared
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def command_of(options: DevOptions) -> list[str]:
    """Give the command line of the process, without the token, which belongs in its environment."""
    return [sys.executable, "-m", "durably.cli.serving", json.dumps({**asdict(options), "token": None})]


def main(arguments: list[str] | None = None) -> int:
    """Serve what the one argument, JSON of `DevOptions`, says."""
    given: dict[str, Any] = json.loads((sys.argv[1:] if arguments is None else arguments)[0])
    options = replace(DevOptions(**given), token=os.environ.get("DURABLY_TOKEN") or None)
    try:
        return _serve(options)
    except KeyboardInterrupt:
        return 0
    except (DurablyError, OSError) as error:
        if options.debug:
            traceback.print_exception(error)
        tell(f"durably dev: {text_of(error)}")
        return code_of(error)


def _serve(options: DevOptions) -> int:
    _set_environment(options)
    loaded = load(options.target)
    if loaded.link is not None:
        return _serve_linked(options, loaded)
    if options.url is None and loaded.kind in (Kind.SERVICES, Kind.DURABLY_ASGI, Kind.DURABLY_WSGI):
        return _serve_embedded(options, loaded)
    return _serve_registered(options, loaded)


def _set_environment(options: DevOptions) -> None:
    """Tell adapters, which read it when they are imported."""
    if options.db is not None:
        os.environ["DURABLY_URL"] = _store_url(options.db)
    if options.url is not None:
        os.environ["DURABLY_URL"] = options.url
        os.environ["DURABLY_SERVICE_URL"] = options.service_url or options.base_url
        connection = choose(options.url, options.admin_url)
        if connection.admin_url is not None:
            os.environ["DURABLY_ADMIN_URL"] = connection.admin_url


def _store_url(db: str) -> str:
    path = os.path.abspath(db).lstrip("/")
    return f"sqlite:////{path}".replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _serve_linked(options: DevOptions, loaded: Loaded) -> int:
    assert loaded.link is not None
    settings = loaded.link.settings
    _check_wanted(options, settings.url)
    server = choose_server(is_wsgi=loaded.kind.is_wsgi, is_called_back=not settings.is_embedded, wanted=options.server)
    runtime = f"embedded, {settings.url}" if settings.is_embedded else "a server, at which the app registers itself"
    _show(
        options,
        loaded,
        server,
        runtime,
        app_url=options.base_url,
        db=_file_of(settings.url),
        ingress_url=None if settings.is_embedded else settings.url,
        admin_url=settings.admin_url,
        endpoint_url=None if settings.is_embedded else options.base_url + settings.prefix,
    )
    for start in loaded.starts:
        start()
    if loaded.kind.is_wsgi and not loaded.starts:  # it starts its runtime with the first request
        health = f"{options.base_url}{settings.prefix}/health"
        threading.Thread(target=_answers, args=(health,), name="durably-dev-first-request", daemon=True).start()
    serve(server, loaded.application, options.host, options.port)
    return 0


def _check_wanted(options: DevOptions, url: str) -> None:
    """Refuse to run on another runtime than was asked for.

    Raises:
        UsageError: The application names one of its own.
    """
    wanted = options.url or (None if options.db is None else _store_url(options.db))
    if wanted is not None and wanted.rstrip("/") != url:
        option = "--url" if options.url else "--db"
        raise UsageError(
            f"The application's own configuration names {url}, and that counts, not {option}.",
            hint="Take it out there, or let it be read from DURABLY_URL in the environment.",
        )


def _file_of(url: str) -> str | None:
    from durably.engine.locations import read_url

    return None if url.startswith("http") else read_url(url).path


def _serve_embedded(options: DevOptions, loaded: Loaded) -> int:
    """Run the services and the engine in this process."""
    from durably.engine import cli
    from durably.hosting.options import DEFAULT_HOSTING, Unsigned

    # Its own application would warn of unsigned requests, which nobody can send here.
    application: Any = loaded.endpoints[0].app(replace(DEFAULT_HOSTING, unsigned=Unsigned.ACCEPT))
    db = options.db or "durably.db"
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    host = options.host if options.token else "127.0.0.1"  # others may reach it with a token only
    arguments = ["--db", db, "--host", host, "--log-level", "warning"]
    arguments += ["--ingress-port", str(options.ingress_port), "--admin-port", str(options.admin_port)]
    arguments += [] if options.token is None else ["--token", options.token]
    _show(
        options,
        loaded,
        "the engine's own server",
        f"embedded, {db}",
        db=db,
        ingress_url=f"http://{host}:{options.ingress_port}",
        admin_url=f"http://{host}:{options.admin_port}",
    )
    return cli.run(parser.parse_args(arguments), application)


def _serve_registered(options: DevOptions, loaded: Loaded) -> int:
    """Serve over HTTP, and register from here; the engine is beside it, unless a server is given."""
    server = choose_server(is_wsgi=loaded.kind.is_wsgi, is_called_back=True, wanted=options.server)
    engine: subprocess.Popen[bytes] | None = None
    if options.url is None:
        db = options.db or "durably.db"
        ingress, admin = (f"http://127.0.0.1:{port}" for port in (options.ingress_port, options.admin_port))
        command = [sys.executable, "-m", "durably", "engine", "--db", db, "--log-level", "warning"]
        command += ["--ingress-port", str(options.ingress_port), "--admin-port", str(options.admin_port)]
        engine = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - this very program
        runtime = f"embedded, {db}, in a process beside the app"
    else:
        db, ingress = None, options.url
        admin = choose(options.url, options.admin_url).admin_url or ""
        runtime = "a server, at which it is registered"
    try:
        is_ours = loaded.kind in (Kind.SERVICES, Kind.DURABLY_ASGI, Kind.DURABLY_WSGI)
        where = (options.service_url or options.base_url) + ("" if is_ours else options.prefix)
        _show(
            options,
            loaded,
            server,
            runtime,
            app_url=options.base_url,
            db=db,
            ingress_url=ingress,
            admin_url=admin,
            endpoint_url=where,
        )
        seen_here = options.base_url + ("" if is_ours else options.prefix)
        arguments = (options, where, seen_here, ingress, admin)
        threading.Thread(target=_register, args=arguments, name="durably-dev-register", daemon=True).start()
        serve(server, loaded.application, options.host, options.port)
    finally:
        if engine is not None:
            engine.terminate()
            engine.wait()
    return 0


def _register(options: DevOptions, where: str, seen_here: str, ingress: str, admin: str) -> None:
    """Register when both sides answer; says what came of it."""
    try:
        if not _answers(f"{seen_here}/health"):
            tell(
                f"Nothing durable answers at {seen_here}, so nothing is registered. Mount durably.app(…) there, name"
                " its prefix with --prefix, or use the adapter of the framework."
            )
            return
        if not _answers(f"{admin}/health"):
            tell(f"{admin} does not answer, so nothing is registered.")
            return
        asyncio.run(_register_at(options, where, ingress, admin))
    except DurablyError as error:
        tell(f"durably dev: {text_of(error)}")


async def _register_at(options: DevOptions, where: str, ingress: str, admin: str) -> None:
    async with connect(choose(ingress, admin, token=options.token)) as remote:
        registered = await register_deployment(remote, where, force=True)
        tell_second_choice(registered)
        names = ", ".join(service["name"] for service in registered.services)
        tell(f"Registered {where} over {registered.http_version}: {names}")


def _answers(url: str) -> bool:
    """Wait until something answers well; tell whether it did."""
    httpx = httpx_module()
    deadline = time.monotonic() + _READY_S
    last = 0
    while time.monotonic() < deadline:
        try:
            last = httpx.get(url, timeout=_PROBE_S).status_code
        except httpx.TransportError:
            last = 0
        if last:
            break
        time.sleep(_POLL_S)
    return 200 <= last < 300


def _show(
    options: DevOptions,
    loaded: Loaded,
    server: str,
    runtime: str,
    *,
    app_url: str | None = None,
    db: str | None = None,
    ingress_url: str | None = None,
    admin_url: str | None = None,
    endpoint_url: str | None = None,
) -> None:
    if not options.is_first:
        say("Started again.")
        sys.stdout.flush()
        return
    show_screen(
        Screen(
            loaded=loaded,
            server=server,
            runtime=runtime,
            app_url=app_url,
            db=None if db is None else os.path.relpath(db),
            ingress_url=ingress_url,
            admin_url=admin_url,
            endpoint_url=endpoint_url,
            reloads=options.reloads,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
