"""`python -m durably`: the commands of the package.

Owns their names; what each does is its own module's business.
"""

from __future__ import annotations

import argparse
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that the process's arguments name; gives the exit code."""
    from durably.engine import cli

    parser = argparse.ArgumentParser(prog="durably", description="Durable handlers for Python web apps.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    engine = commands.add_parser("engine", help="run the engine on a file, with its HTTP APIs")
    cli.add_arguments(engine)
    engine.set_defaults(run=cli.run)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
