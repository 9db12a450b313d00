"""The program `durably`: its commands, and how each of them ends.

Owns the tree of commands and the one place where errors become a message and an exit code; see `exits`. With `--debug`
the traceback comes along.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from durably.cli import calling, dev, doctor, invocations, journals, services, states
from durably.cli.exits import Exit, code_of, text_of
from durably.cli.output import tell

__all__ = ["app", "main"]

app: typer.Typer = typer.Typer(
    name="durably",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Durable handlers for Python web apps: run them, and look after what runs.",
)

_debugging: list[bool] = [False]
_PASS_ON: Final[dict[str, Any]] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _show_version(value: bool) -> None:
    if value:
        import durably

        sys.stdout.write(f"durably {durably.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    _debugging[0] = _debugging[0] or debug


@app.command("engine", context_settings=_PASS_ON, add_help_option=False)
def _engine(context: typer.Context) -> None:
    """Run the engine on a file, with its HTTP APIs; see `durably engine --help`."""
    from durably.engine import cli

    code = cli.main(context.args)
    if code:
        raise typer.Exit(code)


dev.add_commands(app)
services.add_commands(app)
doctor.add_commands(app)
app.add_typer(invocations.app, name="invocations")
app.add_typer(journals.app, name="journal")
app.add_typer(states.app, name="state")
calling.add_commands(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; gives the exit code.

    Args:
        arguments: Without the program's name; None takes the process's.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    _debugging[0] = "--debug" in given  # also where it stands behind a command
    if given[:1] != ["engine"]:
        given = [each for each in given if each != "--debug"]
    try:
        outcome: Any = app(given, prog_name="durably", standalone_mode=False)
        return outcome if isinstance(outcome, int) else Exit.OK
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else Exit.FAILED
    except BrokenPipeError:  # who reads has seen enough
        sys.stderr.close()
        return Exit.OK
    except (Exception, KeyboardInterrupt) as error:
        return _ended_with(error)


def _ended_with(error: BaseException) -> int:
    if _debugging[0]:
        traceback.print_exception(error)
    show = getattr(error, "format_message", None)
    if show is not None:  # an error of the arguments, in the parser's words
        context = getattr(error, "ctx", None)
        hint = "" if context is None else f"\nTry: {context.command_path} --help"
        message = str(show())
        if message:
            tell(f"durably: {message}{hint}")
        elif context is not None:
            sys.stderr.write(context.get_help() + "\n")
        return Exit.USAGE
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, typer.Abort):
        tell("Nothing was done.")
        return Exit.FAILED
    text = text_of(error)
    if code_of(error) is Exit.FAILED and not hasattr(error, "hint"):
        text = f"{type(error).__name__}: {text}\nThis should not happen; --debug shows where it did."
    tell(f"durably: {text}")
    return code_of(error)
