"""`python -m durably engine` with what only tests want: an application that runs in the same process.

Owns its one argument, after those of the command: `module:attribute` of the application.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from durably.engine import cli

__all__: list[str] = []


def main() -> int:
    """Run until stopped; gives the exit code."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    parser.add_argument("application")
    arguments = parser.parse_args()
    module, _, attribute = arguments.application.partition(":")
    return cli.run(arguments, getattr(importlib.import_module(module), attribute))


if __name__ == "__main__":
    sys.exit(main())
