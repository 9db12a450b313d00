"""`durably doctor`: what works between an application and its runtime, and what to do about the rest.

Owns the order of the checks and those that ask over the network: the runtime, the endpoint, and the way between both,
in each direction. Nothing is changed: a registration is tried without being made.

| check | looks at |
|---|---|
| application, services, runtime, identity key, middleware, workers, file, driver | see `checks` |
| server | whether the admin API answers, and its version |
| ingress | whether invocations can be sent |
| endpoint | whether the deployment answers us, which protocol versions it speaks |
| mode | whether it streams, and why or why not |
| unsigned | whether it takes requests without a signature |
| server to app | whether the server reaches the deployment |
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from durably.cli.checks import check_application, check_file
from durably.cli.commands import JsonOption
from durably.cli.exits import Exit, NotReachableError, text_of
from durably.cli.findings import Finding, Verdict, fail, ok, show_findings, warn
from durably.cli.loading import LoadError, load
from durably.cli.output import say, show_json
from durably.client.transport import httpx_module
from durably.engine.ingress.access import is_loopback
from durably.errors import DurablyError, UsageError
from durably.operations.connections import Connection, Remote, choose, connect

__all__ = ["add_commands", "examine"]

_PROBE_S: Final = 5.0
_MANIFEST: Final = "application/vnd.restate.endpointmanifest.v2+json"
_OLDEST: Final = (1, 5)
_UNAUTHORIZED: Final = 401


def add_commands(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(_doctor)


def _doctor(
    target: Annotated[
        str | None, typer.Argument(metavar="[MODULE:APP|URL]", help="An application, or the URL of an endpoint.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="The runtime's ingress.")] = None,
    admin_url: Annotated[str | None, typer.Option("--admin-url", help="The runtime's admin API.")] = None,
    db: Annotated[str | None, typer.Option("--db", metavar="FILE", help="An embedded engine's file.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="A bearer token; better in DURABLY_TOKEN.")] = None,
    json: JsonOption = False,
) -> None:
    """Check an application, its runtime, and the way between them; the exit code is 1 if something fails."""
    findings = asyncio.run(examine(target, url=url, admin_url=admin_url, db=db, token=token))
    if json:
        show_json([{**asdict(each), "verdict": each.verdict.value} for each in findings])
    else:
        show_findings(findings)
        counts = {verdict: sum(each.verdict is verdict for each in findings) for verdict in Verdict}
        say("")
        say(", ".join(f"{number} {verdict.value}" for verdict, number in counts.items()))
    if any(each.verdict is Verdict.FAIL for each in findings):
        raise typer.Exit(Exit.FAILED)


async def examine(
    target: str | None,
    *,
    url: str | None = None,
    admin_url: str | None = None,
    db: str | None = None,
    token: str | None = None,
) -> list[Finding]:
    """Do all checks that apply; see `doctor`.

    Raises:
        UsageError: The runtime that is named contradicts itself.
    """
    if target is None:
        return await _runtime_alone(choose(url, admin_url, db, token))
    if target.startswith(("http://", "https://")):
        findings = await _endpoint(target)
        if url or admin_url or db or os.environ.get("DURABLY_URL"):
            findings += await _runtime_and(choose(url, admin_url, db, token), target)
        return findings
    try:
        loaded = load(target)
    except (LoadError, UsageError) as error:
        return [fail("application", error.message, error.hint or "Name it as MODULE:APP.")]
    what = f"{loaded.kind.with_article}{' with durably' if loaded.link is not None else ''}"
    findings = [ok("application", f"{target}: {what}"), *check_application(loaded)]
    if url is not None or admin_url is not None or db is not None:
        return findings + await _runtime_alone(choose(url, admin_url, db, token))
    if loaded.link is None:
        return findings
    settings = loaded.link.settings
    if settings.is_embedded:
        from durably.engine.locations import read_url

        path = read_url(settings.url).path
        return findings + ([] if path is None else await check_file(path))
    connection = choose(settings.url, settings.admin_url, token=token)
    if settings.service_url is None:
        return findings + await _runtime_alone(connection)
    where = settings.service_url + settings.prefix
    return [*findings, *await _endpoint(where), *await _runtime_and(connection, where)]


async def _runtime_alone(connection: Connection) -> list[Finding]:
    if connection.db is not None:
        return await check_file(connection.db)
    return await _runtime_and(connection, None)


async def _runtime_and(connection: Connection, endpoint: str | None) -> list[Finding]:
    """Check a runtime, and its way to an endpoint."""
    findings: list[Finding] = []
    async with connect(connection) as remote:
        try:
            if connection.admin_url is None and connection.db is None:
                findings.append(warn("server", "its admin API is not known", "Give --admin-url."))
            else:
                findings.append(_version(connection, await remote.done("GET", "/version")))
                if endpoint is not None:
                    findings.append(await _there(remote, endpoint))
                else:
                    findings += await _deployments(remote)
        except DurablyError as error:
            findings.append(fail("server", str(getattr(error, "message", error)), error.hint or "Start it."))
        findings.append(await _ingress(remote))
    return findings


def _version(connection: Connection, document: dict[str, Any]) -> Finding:
    version = str(document.get("version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    features: dict[str, Any] = document.get("features") or {}
    text = f"{connection.shown}: version {version}"
    is_engine = "protocol_v7" in features and numbers < (1, 0)
    if not is_engine and numbers < _OLDEST:
        return fail("server", text, "durably speaks protocol versions 5 to 7: use Restate Server 1.5 or newer.")
    return ok("server", text)


async def _ingress(remote: Remote) -> Finding:
    try:
        answer = await remote.ingress("GET", "/restate/health")
    except NotReachableError as error:
        return fail("ingress", error.message, "Give its address with --url.")
    except DurablyError as error:
        return fail("ingress", text_of(error), "Give its address with --url.")
    if answer.status == _UNAUTHORIZED:
        return fail("ingress", "it does not let us in", "Give --token, or DURABLY_TOKEN.")
    if not answer.is_success:
        return fail("ingress", f"it answers {answer.status}: {answer.message}", "Is this the URL of an ingress?")
    return ok("ingress", "it takes invocations")


async def _deployments(remote: Remote) -> list[Finding]:
    """Check that the server still reaches what is registered."""
    found: list[dict[str, Any]] = (await remote.done("GET", "/deployments"))["deployments"]
    if not found:
        return [warn("deployments", "none is registered", "Run `durably register URL`.")]
    newest: dict[str, dict[str, Any]] = {each["uri"]: each for each in found if each.get("uri")}
    return [await _there(remote, uri) for uri in newest if uri.startswith("http")]


async def _there(remote: Remote, endpoint: str) -> Finding:
    check = "server to app"
    problems: list[str] = []
    for http_11 in (False, True):
        body = {"uri": endpoint, "dry_run": True, "force": True, "use_http_11": http_11}
        answer = await remote.admin("POST", "/deployments", body)
        if answer.is_success:
            return ok(check, f"it reaches {endpoint} over {'HTTP/1.1' if http_11 else 'HTTP/2'}")
        problems.append(answer.message)
    host = urlsplit(endpoint).hostname or ""
    remedy = "Start the application; look for a firewall between both."
    if is_loopback(host):
        remedy = (
            "Start the application. If the server runs in a container, this address means the container itself: use"
            f" {endpoint.replace(host, 'host.docker.internal', 1)}."
        )
    return fail(check, problems[-1], remedy)


async def _endpoint(where: str) -> list[Finding]:
    """Ask a deployment what a runtime would ask."""
    httpx = httpx_module()
    answers: dict[str, Any] = {}
    problem = ""
    for name, http_1 in (("HTTP/2", False), ("HTTP/1.1", True)):
        try:
            async with httpx.AsyncClient(http1=http_1, http2=not http_1, timeout=_PROBE_S) as client:
                answers[name] = await client.get(f"{where.rstrip('/')}/discover", headers={"accept": _MANIFEST})
        except (httpx.HTTPError, ImportError) as error:
            problem = str(error) or type(error).__name__
    if not answers:
        return [fail("endpoint", f"{where} cannot be reached: {problem}", "Start the application.")]
    spoken, answer = next(iter(answers.items()))
    if not answer.is_success:
        return [_refused(where, answer.status_code)]
    try:
        manifest: dict[str, Any] = answer.json()
        services = ", ".join(sorted(str(service["name"]) for service in manifest["services"]))
        versions = f"{manifest['minProtocolVersion']} to {manifest['maxProtocolVersion']}"
        streams = manifest.get("protocolMode") == "BIDI_STREAM"
    except (ValueError, KeyError, TypeError):
        return [fail("endpoint", f"{where} answers, but not as an endpoint", "Give its URL with its prefix.")]
    findings = [ok("endpoint", f"{where}: protocol versions {versions}, services {services}"), _mode(spoken, streams)]
    return [*findings, await _unsigned(where, http_1=spoken != "HTTP/2")]


def _refused(where: str, status: int) -> Finding:
    if status == _UNAUTHORIZED:
        return ok("endpoint", f"{where} answers, and only signed requests: nothing more can be asked from here")
    return fail("endpoint", f"{where}/discover answers {status}", "Give the URL with its prefix, as …/restate.")


def _mode(spoken: str, streams: bool) -> Finding:
    if streams:
        return ok("mode", f"streaming: the web server speaks {spoken}, in both directions at once")
    if spoken == "HTTP/2":
        return ok("mode", "request-response, although HTTP/2 is spoken: WSGI, a server that buffers, or it is forced")
    return warn(
        "mode",
        "request-response: the web server does not speak HTTP/2 without TLS",
        "Works; each wait costs a request. hypercorn, granian or gunicorn can stream.",
    )


async def _unsigned(where: str, *, http_1: bool) -> Finding:
    httpx = httpx_module()
    headers = {"content-type": "application/vnd.restate.invocation.v5"}
    try:
        async with httpx.AsyncClient(http1=http_1, http2=not http_1, timeout=_PROBE_S) as client:
            answer = await client.post(f"{where.rstrip('/')}/invoke/durably.doctor/nothing", headers=headers)
    except httpx.HTTPError as error:
        return warn("unsigned", f"not known: {error or type(error).__name__}", "Look at the log of the application.")
    if answer.status_code == _UNAUTHORIZED:
        return ok("unsigned", "requests without a signature are refused")
    if is_loopback(urlsplit(where).hostname or ""):
        return ok("unsigned", "accepted from this machine; what others get cannot be told from here")
    return warn(
        "unsigned",
        "requests without a signature are accepted: whoever reaches the app can run its handlers",
        "Give identity_keys=[...], unless only the runtime can reach it.",
    )
