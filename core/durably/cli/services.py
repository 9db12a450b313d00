"""`durably services`, `durably deployments`, `durably register`: what the runtime knows, and making it known.

Owns what is shown of them; how a registration is attempted is the business of `durably.operations.registration`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from durably.cli.commands import JsonOption, YesOption, confirmed, runtime_command
from durably.cli.exits import Exit
from durably.cli.output import show_json, show_table, tell
from durably.operations.connections import Remote
from durably.operations.registration import Registered, register_deployment

__all__ = ["add_commands", "tell_second_choice"]


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
    registered = await register_deployment(
        remote, endpoint, force=force, use_http_11=use_http_11, breaking=breaking, dry_run=dry_run
    )
    tell_second_choice(registered)
    if json:
        show_json(registered.to_json())
        return Exit.OK
    show_table(
        ("SERVICE", "TYPE", "REVISION", "HANDLERS"),
        ((each["name"], each["type"], each["revision"], ", ".join(each["handlers"])) for each in registered.services),
        empty="The endpoint has no services.",
    )
    word = "Would be registered" if dry_run else ("Registered" if registered.is_new else "Registered already")
    tell(f"{word}, over {registered.http_version}, as {registered.id}.")
    return Exit.OK


def tell_second_choice(registered: Registered) -> None:
    """Say so where HTTP/1.1 is spoken for want of HTTP/2."""
    if registered.is_second_choice:
        tell("The endpoint does not speak HTTP/2 without TLS, so it cannot stream: HTTP/1.1 is used.")
