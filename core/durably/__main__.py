"""`python -m durably`, and the console script `durably`: the commands of the package.

Owns the choice between the command line, which needs the extra `cli`, and `engine`, which needs no more than the
engine does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; gives the exit code.

    Args:
        arguments: Without the program's name; None takes the process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["engine"]:
        from durably.engine import cli

        return cli.main(given[1:])
    try:
        import rich
        import typer

        del rich, typer
    except ImportError:
        sys.stderr.write(
            "durably: the command line is not installed, except for `durably engine`.\n"
            "Install it with: pip install 'durably[cli]'\n"
        )
        return _USAGE
    from durably.cli.app import main as run

    return run(given)


if __name__ == "__main__":
    sys.exit(main())
