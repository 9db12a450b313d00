"""`durably dev`: serves an application, and starts it again when code changes.

Owns the watching and the process that serves (`serving`), which is started anew each time: nothing of the old code is
left. The engine is stopped as in production; so what handlers had recorded goes on after each restart.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from durably.cli.exits import Exit
from durably.cli.output import tell
from durably.cli.serving import DevOptions, command_of
from durably.errors import UsageError
from durably.operations.connections import choose

__all__ = ["add_commands", "changed_files", "snapshot"]

_POLL_S: Final = 0.25
_STOP_S: Final = 10.0
_INTERRUPTED_S: Final = 5.0
_SKIPPED: Final = frozenset(("__pycache__", "node_modules", "site-packages", "build", "dist"))


def add_commands(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("dev")(_dev)


def _dev(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="FastAPI, Flask, Django, ASGI, WSGI or durably.")],
    host: Annotated[str, typer.Option("--host", help="Where the app listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="Where the app listens.")] = 8000,
    db: Annotated[str | None, typer.Option("--db", metavar="FILE", help="File of the embedded engine.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="A Restate Server's ingress, instead of the engine.")] = None,
    admin_url: Annotated[str | None, typer.Option("--admin-url", help="Its admin API; port 9070 otherwise.")] = None,
    service_url: Annotated[
        str | None, typer.Option("--service-url", help="Where that server reaches the app, if not as we do.")
    ] = None,
    token: Annotated[str | None, typer.Option("--token", help="For the server; better in DURABLY_TOKEN.")] = None,
    ingress_port: Annotated[int, typer.Option("--ingress-port", help="Of the embedded engine.")] = 8080,
    admin_port: Annotated[int, typer.Option("--admin-port", help="Of the embedded engine.")] = 9070,
    prefix: Annotated[str, typer.Option("--prefix", help="Where a durably app is mounted.")] = "/restate",
    server: Annotated[
        str | None, typer.Option("--server", help="uvicorn, hypercorn, waitress or werkzeug, not the fitting one.")
    ] = None,
    reload: Annotated[bool, typer.Option("--reload/--no-reload", help="Start again when code changes.")] = True,
    debug: Annotated[bool, typer.Option("--debug", hidden=True)] = False,
) -> None:
    """Serve an application in development, with a runtime: the embedded engine, or a given server."""
    if db is not None and url is not None:
        raise UsageError("--db names the embedded engine's file, and --url a server: give one of them.")
    if admin_url is not None and url is None:
        raise UsageError("--admin-url is of a server.", hint="Give its ingress as --url too.")
    if url is not None and choose(url, admin_url).admin_url is None:
        raise UsageError("Where the admin API is cannot be told from --url.", hint="Give --admin-url too.")
    _check_port(host, port)
    options = DevOptions(
        target=target,
        host=host,
        port=port,
        url=url,
        admin_url=admin_url,
        service_url=service_url,
        db=db,
        token=token or os.environ.get("DURABLY_TOKEN") or None,
        ingress_port=ingress_port,
        admin_port=admin_port,
        prefix="/" + prefix.strip("/"),
        server=server,
        reloads=reload,
        debug=debug,
    )
    code = _watch(options)
    if code:
        raise typer.Exit(code)


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"The app cannot listen on {host}:{port}: {error.strerror}.", hint="Choose another one with --port."
            ) from error


def _watch(options: DevOptions) -> int:
    """Keep the process running until it fails at its first start, or somebody stops us."""
    is_told = False

    def stop(number: int, frame: object) -> None:
        nonlocal is_told
        is_told = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    process: subprocess.Popen[bytes] | None = None
    try:
        seen = snapshot(Path.cwd())
        process = _started(options)
        while True:
            time.sleep(_POLL_S)
            code = process.poll()
            if code is not None and (options.is_first or not options.reloads):
                return code if code >= 0 else Exit.FAILED
            if not options.reloads:
                continue
            now = snapshot(Path.cwd())
            changed = changed_files(seen, now)
            if not changed:
                continue
            seen = now
            options = replace(options, is_first=False)
            tell(f"Changed: {', '.join(changed[:3])}{' …' if len(changed) > 3 else ''}")
            _stop(process)
            process = _started(options)
    except KeyboardInterrupt:
        if process is not None and not is_told:
            _wait(process, _INTERRUPTED_S)  # Ctrl-C goes to both
        return Exit.OK
    finally:
        if process is not None:
            _stop(process)
        signal.signal(signal.SIGTERM, before)


def _started(options: DevOptions) -> subprocess.Popen[bytes]:
    token = {} if options.token is None else {"DURABLY_TOKEN": options.token}  # arguments can be read by others
    return subprocess.Popen(command_of(options), env={**os.environ, **token})  # noqa: S603 - this very program


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        if not _wait(process, _STOP_S):
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def snapshot(folder: Path) -> dict[str, int]:
    """Give when each Python file below a folder was changed, by its path from there."""
    return dict(_files(str(folder), ""))


def changed_files(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Give what is new, changed or gone."""
    return sorted(
        {name for name in after if before.get(name) != after[name]} | {name for name in before if name not in after}
    )


def _files(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in _SKIPPED:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                if not os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
                    yield from _files(entry.path, f"{prefix}{name}/")
            elif name.endswith(".py"):
                yield f"{prefix}{name}", entry.stat().st_mtime_ns
        except OSError:
            continue  # it is gone meanwhile
