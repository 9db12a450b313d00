"""`manage.py durably_outbox`: sends what stands in the outbox.

Owns the command line. By default it sends what is due and ends; `--watch` goes on until it is stopped. The processes
that serve the project do this by themselves.
"""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from durably_django.management.output import or_fail

__all__ = ["Command"]


class Command(BaseCommand):
    """The command."""

    help = "Send the messages of the outbox whose transactions have committed."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the options."""
        parser.add_argument("--watch", action="store_true", help="go on until stopped")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Send.

        Raises:
            CommandError: The runtime cannot be started.
        """
        from durably_django.models import OutboxMessage
        from durably_django.outbox.relay import relay
        from durably_django.runtime import runtime

        or_fail(lambda: runtime.start(sends_outbox=False))
        try:
            sent = relay.drain()
            while options["watch"]:
                time.sleep(options["interval"])
                sent += relay.drain()
        except KeyboardInterrupt:
            self.stderr.write("stopped")
            return
        finally:
            runtime.stop()
        left = OutboxMessage.objects.count()
        self.stdout.write(f"sent {sent}, left {left}")
