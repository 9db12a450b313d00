"""How a function becomes a command that asks a runtime.

Owns the options that all such commands have, which the functions therefore need not repeat: a function takes the
runtime as its first argument, and its other parameters are its own options.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import typer

from durably.operations.connections import Remote, choose, connect

__all__ = ["JsonOption", "YesOption", "confirmed", "runtime_command"]

_PANEL: Final = "Which runtime"

_UrlOption = Annotated[
    str | None, typer.Option("--url", help="Its ingress, as http://localhost:8080.", rich_help_panel=_PANEL)
]
_AdminUrlOption = Annotated[
    str | None, typer.Option("--admin-url", help="Its admin API, as http://localhost:9070.", rich_help_panel=_PANEL)
]
_DbOption = Annotated[
    str | None, typer.Option("--db", metavar="FILE", help="An embedded engine's file.", rich_help_panel=_PANEL)
]
_TokenOption = Annotated[
    str | None, typer.Option("--token", help="A bearer token; better in DURABLY_TOKEN.", rich_help_panel=_PANEL)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_OPTIONS: Final = {"url": _UrlOption, "admin_url": _AdminUrlOption, "db": _DbOption, "token": _TokenOption}


def runtime_command(
    app: typer.Typer, name: str
) -> Callable[[Callable[..., Awaitable[int | None]]], Callable[..., Awaitable[int | None]]]:
    """Make an `async` function a command; its first parameter gets the runtime, what it gives is the exit code."""

    def decorate(function: Callable[..., Awaitable[int | None]]) -> Callable[..., Awaitable[int | None]]:
        hints = typing.get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        parameters = [
            *(each.replace(annotation=hints[each.name], kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(
                inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
                for option, annotation in _OPTIONS.items()
            ),
        ]

        @functools.wraps(function)
        def command(**given: Any) -> None:
            connection = choose(**{option: given.pop(option) for option in _OPTIONS})

            async def work() -> int | None:
                async with connect(connection) as remote:
                    return await function(remote, **given)

            code = asyncio.run(work())
            if code:
                raise typer.Exit(code)

        setattr(command, "__signature__", inspect.Signature(parameters))  # noqa: B010 - unknown to type checkers
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        del command.__wrapped__  # or the signature would be looked for there
        app.command(name)(command)
        return function

    return decorate


async def confirmed(remote: Remote, question: str, *, yes: bool) -> bool:
    """Ask before something that cannot be undone; tells where it would happen."""
    if yes:
        return True
    return await asyncio.to_thread(typer.confirm, f"{question} ({remote.connection.shown})", err=True)
