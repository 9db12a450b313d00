"""`durably services`, `durably deployments`, `durably register`: what the runtime knows, and making it known.

Owns the attempts of a registration: HTTP/2 first, because only that can stream, and HTTP/1.1 when the runtime cannot
speak HTTP/2 to the address.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from durably.cli.commands import JsonOption, YesOption, confirmed, runtime_command
from durably.cli.connections import Answer, Remote
from durably.cli.exits import CommandError, Exit
from durably.cli.output import show_json, show_table, tell

__all__ = ["add_commands", "register_deployment"]

_KNOWN: Final = 200
_CONFLICT: Final = 409


def add_commands(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    runtime_command(app, "services")(_services)
    runtime_command(app, "deployments")(_deployments)
    runtime_command(app, "register")(_register)


async def _services(remote: Remote, json: JsonOption = False) -> None:
    """List services with their handlers."""
    found: list[dict[str, Any]] = (await remote.done("GET", "/services"))["services"]
    listed = [
        {
            "name": service["name"],
            "type": service["ty"],
            "revision": service["revision"],
            "deployment_id": service["deployment_id"],
            "public": service.get("public", True),
            "handlers": [
                {"name": handler["name"], "type": handler.get("ty"), "public": handler.get("public", True)}
                for handler in service["handlers"]
            ],
        }
        for service in sorted(found, key=lambda service: service["name"])
    ]
    if json:
        show_json(listed)
        return
    show_table(
        ("NAME", "TYPE", "REVISION", "DEPLOYMENT", "HANDLERS"),
        (
            (
                each["name"],
                each["type"],
                each["revision"],
                each["deployment_id"],
                ", ".join(handler["name"] for handler in each["handlers"]),
            )
            for each in listed
        ),
        empty="No service is registered. Do it with: durably register URL",
    )


async def _deployments(remote: Remote, json: JsonOption = False) -> None:
    """List deployments: where the runtime reaches which revision of which service."""
    found: list[dict[str, Any]] = (await remote.done("GET", "/deployments"))["deployments"]
    listed: list[dict[str, Any]] = [
        {
            "id": each["id"],
            "uri": each.get("uri") or each.get("arn"),
            "protocol_type": each.get("protocol_type"),
            "http_version": each.get("http_version"),
            "created_at": each["created_at"],
            "sdk_version": each.get("sdk_version"),
            "services": [{"name": service["name"], "revision": service["revision"]} for service in each["services"]],
        }
        for each in found
    ]
    if json:
        show_json(listed)
        return
    show_table(
        ("ID", "URI", "MODE", "HTTP", "CREATED", "SERVICES"),
        (
            (
                each["id"],
                each["uri"],
                each["protocol_type"],
                each["http_version"],
                each["created_at"],
                ", ".join(f"{service['name']}@{service['revision']}" for service in each["services"]),
            )
            for each in listed
        ),
        empty="No deployment is registered. Do it with: durably register URL",
    )


async def _register(
    remote: Remote,
    endpoint: Annotated[str, typer.Argument(metavar="URL", help="Of the endpoint, with its prefix, if it has one.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is registered at this address.")] = False,
    use_http_11: Annotated[bool, typer.Option("--use-http1.1", help="Do not try HTTP/2.")] = False,
    breaking: Annotated[bool, typer.Option("--breaking", help="Let services change their type.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and register nothing.")] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Make the services at a URL known to the runtime."""
    if force and not await confirmed(remote, f"Replace what is registered at {endpoint}?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    answer, spoken = await register_deployment(
        remote, endpoint, force=force, use_http_11=use_http_11, breaking=breaking, dry_run=dry_run
    )
    document = answer.json()
    found = [
        {
            "name": service["name"],
            "type": service["ty"],
            "revision": service["revision"],
            "handlers": [handler["name"] for handler in service["handlers"]],
        }
        for service in document["services"]
    ]
    if json:
        show_json({"id": document["id"], "http_version": spoken, "is_new": answer.status != _KNOWN, "services": found})
        return Exit.OK
    show_table(
        ("SERVICE", "TYPE", "REVISION", "HANDLERS"),
        ((each["name"], each["type"], each["revision"], ", ".join(each["handlers"])) for each in found),
        empty="The endpoint has no services.",
    )
    word = "Would be registered" if dry_run else ("Registered" if answer.status != _KNOWN else "Registered already")
    tell(f"{word}, over {spoken}, as {document['id']}.")
    return Exit.OK


async def register_deployment(
    remote: Remote,
    url: str,
    *,
    force: bool,
    use_http_11: bool = False,
    breaking: bool = False,
    dry_run: bool = False,
) -> tuple[Answer, str]:
    """Register an endpoint over HTTP/2, or else over HTTP/1.1; gives the answer, and what is spoken.

    Raises:
        CommandError: The runtime refuses it, or cannot reach it.
        NotReachableError: The runtime cannot be reached.
    """
    refusals: list[str] = []
    is_conflict = False
    for http_11 in (True,) if use_http_11 else (False, True):
        body = {"uri": url, "force": force, "use_http_11": http_11, "breaking": breaking, "dry_run": dry_run}
        answer = await remote.admin("POST", "/deployments", body)
        if answer.is_success:
            if refusals:
                tell("The endpoint does not speak HTTP/2 without TLS, so it cannot stream: HTTP/1.1 is used.")
            return answer, "HTTP/1.1" if http_11 else "HTTP/2"
        refusals.append(answer.message)
        is_conflict = answer.status == _CONFLICT
        if 400 <= answer.status < 500:
            break  # it was understood, so that HTTP/1.1 changes nothing
    hint = None
    if is_conflict:
        hint = "Something else is registered at this address: --force replaces it."
    elif len(refusals) > 1 and refusals[0] != refusals[1]:
        hint = f"Over HTTP/2: {refusals[0]}"
    raise CommandError(f"{url} is not registered: {refusals[-1]}", hint=hint)
