"""`manage.py durably_register`: makes the project known to a Restate Server.

Owns the command line. HTTP/2 is tried before HTTP/1.1. A project with `ADMIN_URL` and `SERVICE_URL` does it by itself
when it starts; this is for deployments that want to see it done, or refused.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from durably.operations.connections import Remote
from durably.operations.registration import Registered, register_deployment
from durably_django.management.output import or_fail, table
from durably_django.operating import ask_from_command
from durably_django.settings import configured

__all__ = ["Command"]


class Command(BaseCommand):
    """The command."""

    help = "Make the project's services known to a Restate Server."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the options."""
        parser.add_argument("url", nargs="?", help="where the server reaches the routes (SERVICE_URL and PREFIX)")
        parser.add_argument("--admin-url", help="the server's admin API, as http://localhost:9070 (ADMIN_URL)")
        parser.add_argument("--force", action="store_true", help="replace what is registered at this address")
        parser.add_argument("--breaking", action="store_true", help="let services change their type")
        parser.add_argument("--dry-run", action="store_true", help="check, and register nothing")
        parser.add_argument("--use-http1.1", dest="use_http_11", action="store_true", help="do not try HTTP/2")
        parser.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Register.

        Raises:
            CommandError: The server cannot be reached or refuses, or it is not known where things are.
        """
        settings = or_fail(configured)
        if settings.is_embedded and options["admin_url"] is None:
            raise CommandError("The engine is in the project, and knows its services. Give --admin-url for a server.")
        url = options["url"]
        if url is None:
            if settings.service_url is None:
                raise CommandError('Give the URL where the server reaches the project, or set DURABLY["SERVICE_URL"].')
            url = settings.service_url + settings.prefix

        async def register(remote: Remote) -> Registered:
            return await register_deployment(
                remote,
                url,
                force=options["force"],
                use_http_11=options["use_http_11"],
                breaking=options["breaking"],
                dry_run=options["dry_run"],
            )

        registered: Registered = or_fail(ask_from_command, register, options["admin_url"])
        if options["json"]:
            self.stdout.write(json.dumps(registered.to_json(), indent=2, ensure_ascii=False))
            return
        rows = [
            (each["name"], each["type"], each["revision"], ", ".join(each["handlers"])) for each in registered.services
        ]
        self.stdout.write(table(("SERVICE", "TYPE", "REVISION", "HANDLERS"), rows))
        if registered.is_second_choice:
            self.stderr.write("The project does not speak HTTP/2 without TLS, so it cannot stream: HTTP/1.1 is used.")
        word = (
            "Would be registered" if options["dry_run"] else "Registered" if registered.is_new else "Registered already"
        )
        self.stderr.write(f"{word}, over {registered.http_version}, as {registered.id}.")
