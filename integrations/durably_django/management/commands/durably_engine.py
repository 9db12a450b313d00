"""`manage.py durably_engine`: the engine as a process of its own, so that web workers only forward.

Owns the command line, which is that of `durably engine`, and the choice of what runs.

| `DURABLY["URL"]` | this process | web workers |
|---|---|---|
| `sqlite:///…` | drives the file, runs the handlers, sends the outbox | forward to it, and take over when it ends |
| `http://127.0.0.1:8080` | drives the file of `--db`, behind these ports | run the handlers, and register themselves |

Start it before the web workers: whoever comes first drives.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from durably.engine import cli
from durably.engine.engine import Engine
from durably.engine.locations import read_url
from durably.errors import DurablyError
from durably_django.management.output import failed, or_fail
from durably_django.runtime import runtime
from durably_django.settings import configured, configured_objects

if TYPE_CHECKING:
    from durably.engine.records import EngineOptions
    from durably.engine.transport.options import HttpOptions
    from durably.web.settings import Settings

__all__ = ["Command"]

_INGRESS_PORT: Final = 8080
_ADMIN_PORT: Final = 9070
_DEFAULT_FILE: Final = "durably.db"


class Command(BaseCommand):
    """The command."""

    help = "Run the engine as a process of its own, with its HTTP APIs, until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the options of `durably engine`; what stands in the settings need not be given."""
        cli.add_arguments(parser, or_fail(configured_objects).options)
        parser.set_defaults(db=None, ingress_port=None, admin_port=None)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it.

        Raises:
            CommandError: It cannot start, or the disk failed; the exit code says which.
        """
        settings = or_fail(configured)
        arguments = argparse.Namespace(**options)
        (self._complete_embedded if settings.is_embedded else self._complete_apart)(arguments, settings)
        cli.start_logging(arguments)

        def opening(given: EngineOptions, http: HttpOptions) -> AbstractAsyncContextManager[Engine]:
            if settings.is_embedded:
                return runtime.on_this_loop(given, http)
            return Engine(cli.url_of_file(arguments.db), options=given, http=http)

        try:
            code = asyncio.run(cli.serve(arguments, opening, self._say))
        except DurablyError as error:
            raise failed(error) from error
        except OSError as error:
            raise CommandError(str(error)) from error
        if code:
            raise CommandError("The disk failed: start it again when that works.", returncode=code)

    def _say(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()
        link = runtime.running_link
        if link is not None and link.engine is not None and not link.engine.is_driving:
            self.stderr.write("Another process drives the file; this one takes over when that one ends.")

    def _complete_embedded(self, arguments: argparse.Namespace, settings: Settings) -> None:
        path = read_url(settings.url).path
        if path is None:
            raise CommandError(
                f'{settings.url} is the memory of one process. Set DURABLY["URL"] to a file, as sqlite:////var/lib/app/'
                "durably.db."
            )
        if arguments.db is not None and os.path.abspath(arguments.db) != os.path.abspath(path):
            raise CommandError(
                f'--db {arguments.db} is not the file of the project, which DURABLY["URL"] says: {path}.'
            )
        arguments.db = path
        arguments.ingress_port = _INGRESS_PORT if arguments.ingress_port is None else arguments.ingress_port
        arguments.admin_port = _ADMIN_PORT if arguments.admin_port is None else arguments.admin_port

    def _complete_apart(self, arguments: argparse.Namespace, settings: Settings) -> None:
        arguments.db = arguments.db or _DEFAULT_FILE
        if arguments.ingress_port is None:
            arguments.ingress_port = urlsplit(settings.url).port or _INGRESS_PORT
        if arguments.admin_port is None:
            arguments.admin_port = urlsplit(settings.admin_url or "").port or _ADMIN_PORT
