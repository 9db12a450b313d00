"""What `durably doctor` checks about an application and about the file of its engine, without starting anything.

Owns the checks that need no network: services, the mode that is forced, who may call, middleware that would hold
answers back, workers, and where the file is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from durably.cli.findings import Finding, fail, ok, warn
from durably.cli.loading import Kind, Loaded
from durably.engine.ingress.access import is_loopback
from durably.engine.locations import read_url
from durably.errors import DurablyError, StoreLocationError
from durably.operations.connections import Connection, connect

__all__ = ["check_application", "check_file"]

_BUFFERING: Final = frozenset(("BaseHTTPMiddleware", "GZipMiddleware", "BrotliMiddleware", "WSGIMiddleware"))


def check_application(loaded: Loaded) -> Iterator[Finding]:
    """Check what can be seen of an application that is loaded."""
    services = loaded.services
    if services:
        yield ok("services", f"{len(services)}: {', '.join(services)}")
    else:
        yield fail(
            "services",
            f"{loaded.target} has none that can be seen.",
            "Make `Durably(app)` of the framework's adapter, or name the app that `durably.app([...])` made.",
        )
    yield _runtime(loaded)
    yield from _access(loaded)
    yield _middleware(loaded)
    yield _workers(loaded)


def _runtime(loaded: Loaded) -> Finding:
    if loaded.link is None:
        return ok("runtime", f"{loaded.kind.with_article}: whichever runtime it is registered at")
    settings = loaded.link.settings
    if settings.is_embedded:
        return ok("runtime", f"embedded, {settings.url}")
    if settings.admin_url is None:
        return warn(
            "runtime",
            f"a server at {settings.url}, at which the app does not register itself",
            "Set DURABLY_ADMIN_URL and DURABLY_SERVICE_URL, or run `durably register URL` after each deploy.",
        )
    return ok("runtime", f"a server at {settings.url}; the app registers itself as {settings.service_url}")


def _access(loaded: Loaded) -> Iterator[Finding]:
    check = "identity key"
    for endpoint in loaded.endpoints:
        keys: tuple[str, ...] = tuple(endpoint.identity_keys)
        if loaded.link is not None and loaded.link.settings.is_embedded:
            yield ok(check, "not needed: the engine calls in process, and no route leads to handlers")
        elif keys:
            yield ok(check, f"{len(keys)} given: requests must be signed")
        elif loaded.link is not None and not loaded.link.settings.allow_unsigned:
            where = loaded.link.settings.service_url
            remote = where is not None and not is_loopback(urlsplit(where).hostname or "")
            if remote:
                yield fail(
                    check,
                    "none, and the server is on another machine: its requests will be answered 401",
                    "Set DURABLY_IDENTITY_KEYS to the public key that the server logs when it starts.",
                )
            else:
                yield ok(check, "none: requests are accepted from this machine only")
        else:
            yield warn(
                check,
                "none, so whoever reaches the app can run its handlers",
                "Give identity_keys=[...], unless only the runtime can reach it.",
            )


def _middleware(loaded: Loaded) -> Finding:
    check = "middleware"
    if loaded.link is not None:
        return ok(check, "none stands between the runtime and the handlers")
    if loaded.kind not in (Kind.FASTAPI, Kind.STARLETTE):
        return ok(check, "none that can be seen")
    layers: list[Any] = [each.cls for each in getattr(loaded.application, "user_middleware", ())]
    holding = [each.__name__ for each in layers if _BUFFERING & {base.__name__ for base in each.__mro__}]
    if holding:
        return warn(
            check,
            f"{', '.join(holding)} may hold back what handlers stream",
            "Serve the durably app outside of it, use the adapter, or set the mode to request_response.",
        )
    return ok(check, "none that holds answers back")


def _workers(loaded: Loaded) -> Finding:
    check = "workers"
    configured = os.environ.get("WEB_CONCURRENCY", "")
    several = configured.isdecimal() and int(configured) > 1
    if loaded.link is None or not loaded.link.settings.is_embedded:
        return ok(check, "any number: the runtime is in another process")
    if read_url(loaded.link.settings.url).path is None:
        text = "the engine is in memory: with several workers each has its own, and a restart forgets everything"
        remedy = "Use a file: DURABLY_URL=sqlite:///durably.db."
        return fail(check, text, remedy) if several else warn(check, text, remedy)
    return ok(check, "several may share the file, on one machine: one drives, the others hand over")


async def check_file(path: str) -> list[Finding]:
    """Check the file of an embedded engine: where it is, and whether it is driven."""
    problem = _place(path)
    return [problem] if problem is not None else await _contents(path)


def _place(path: str) -> Finding | None:
    """Check where it is; None where it exists and can be kept safely."""
    shown = os.path.relpath(path)
    if not os.path.exists(path):
        folder = os.path.dirname(os.path.abspath(path))
        if not os.access(folder, os.W_OK):
            return fail("file", f"{shown} cannot be created in {folder}", "Create the folder, or name another file.")
    try:
        _check_place(path)
    except StoreLocationError as error:
        return fail("file", error.message, error.hint or "Name another file.")
    return None if os.path.exists(path) else ok("file", f"{shown} will be created when the app starts")


async def _contents(path: str) -> list[Finding]:
    shown, size = os.path.relpath(path), _size_of(path)  # noqa: ASYNC240 - no disk is asked
    try:
        async with connect(Connection(db=path)) as remote:
            document = await remote.done("GET", "/services")
            assert remote.file is not None
            driven, lease = remote.file.is_driven, remote.file.lease
    except DurablyError as error:
        return [fail("file", str(getattr(error, "message", error)), error.hint or "Name another file.")]
    findings = [ok("file", f"{shown}, {size}, {len(document['services'])} services registered")]
    if driven and lease is not None:
        findings.append(ok("driver", f"process {lease.owner.rpartition(':')[2]} runs the handlers"))
    else:
        findings.append(
            warn("driver", "no process drives the file: nothing goes on at the moment", "Start the application.")
        )
    return findings


def _check_place(path: str) -> None:
    """Look at the place as the engine does, and change nothing.

    Raises:
        StoreLocationError: The file cannot be kept safely there.
    """
    from durably.engine.store.files import check_side_files
    from durably.engine.store.filesystems import check_file_system, magic_of

    real = os.path.realpath(path)
    check_file_system(os.path.dirname(real), magic_of)
    check_side_files(real)


def _size_of(path: str) -> str:
    size = sum(os.path.getsize(each) for each in (path, f"{path}-wal") if os.path.exists(each))
    return f"{size / 1024:.0f} KiB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MiB"
