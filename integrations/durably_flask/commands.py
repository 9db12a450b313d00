"""`flask durably …`: the commands of `durably`, for the runtime that the application's settings name.

Owns handing them over. Nothing of the command line is imported before one is run.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import click
from flask import current_app
from flask.cli import with_appcontext

from durably_flask.state import state_of

__all__ = ["durably_command"]

_PASS_ON: Final[dict[str, Any]] = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": [],
}


@click.command("durably", context_settings=_PASS_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def durably_command(arguments: tuple[str, ...]) -> None:
    """Look after durable handlers; `flask durably --help` lists the commands."""
    from durably.__main__ import main

    settings = state_of(current_app).settings
    os.environ["DURABLY_URL"] = settings.url
    if settings.admin_url is not None:
        os.environ["DURABLY_ADMIN_URL"] = settings.admin_url
    sys.argv = ["durably", *arguments]
    sys.exit(main())
