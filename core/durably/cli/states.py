"""`durably state`: what an object or a workflow keeps, read and changed from outside.

Owns reading values and writing them back. The admin API replaces the whole state of a key; so a change reads the
others first, and is done after whatever holds the key: pause or drain what runs there when that matters.
"""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from durably.cli.commands import JsonOption, YesOption, confirmed, runtime_command
from durably.cli.exits import Exit, NotFoundError
from durably.cli.output import say, show_json, show_table, tell
from durably.errors import UsageError
from durably.operations.connections import Remote
from durably.operations.invocations import quoted

__all__ = ["app"]

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Read and change the state of objects and workflows.")

_Service = Annotated[str, typer.Argument(metavar="SERVICE")]
_Key = Annotated[str, typer.Argument(metavar="KEY", help="Which object or workflow.")]
_Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One value; without it, all.")]


async def _state(remote: Remote, service: str, key: str) -> dict[str, bytes]:
    rows = await remote.query(
        "SELECT key, value FROM state"  # noqa: S608 - quoted
        f" WHERE service_name = {quoted(service)} AND service_key = {quoted(key)} ORDER BY key"
    )
    return {row["key"]: bytes.fromhex(row.get("value") or "") for row in rows}


def _read(value: bytes) -> Any:
    """Give a value as JSON; what is none, as text or as hexadecimal digits."""
    try:
        return json_module.loads(value)
    except ValueError:
        try:
            return {"text": value.decode()}
        except UnicodeDecodeError:
            return {"hex": value.hex()}


@runtime_command(app, "get")
async def _get(remote: Remote, service: _Service, key: _Key, name: _Name = None, json: JsonOption = False) -> None:
    """Show what is kept under a key."""
    state = {each: _read(value) for each, value in (await _state(remote, service, key)).items()}
    if name is not None:
        if name not in state:
            raise NotFoundError(f"{service} {key!r} has no state {name!r}.")
        show_json(state[name])
        return
    if json:
        show_json(state)
        return
    show_table(
        ("NAME", "VALUE"),
        ((each, json_module.dumps(value, ensure_ascii=False)) for each, value in state.items()),
        empty=f"{service} {key!r} keeps nothing.",
    )


@runtime_command(app, "set")
async def _set_value(
    remote: Remote,
    service: _Service,
    key: _Key,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    value: Annotated[str, typer.Argument(metavar="JSON", help="The value, as 3, '\"text\"' or '{\"a\": 1}'.")],
    yes: YesOption = False,
) -> int:
    """Set one value; the others stay."""
    try:
        encoded = json_module.dumps(json_module.loads(value), separators=(",", ":"), ensure_ascii=False).encode()
    except ValueError as error:
        raise UsageError(f"{value!r} is not JSON: {error}.", hint="A text needs quotes: '\"text\"'.") from error
    state = await _state(remote, service, key)
    if not await confirmed(remote, f"Set {name!r} of {service} {key!r} from outside?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    await _replace(remote, service, key, {**state, name: encoded})
    say(f"{service} {key!r}: {name} = {encoded.decode()}")
    return Exit.OK


@runtime_command(app, "clear")
async def _clear(remote: Remote, service: _Service, key: _Key, name: _Name = None, yes: YesOption = False) -> int:
    """Clear one value, or all that is kept under a key."""
    state = await _state(remote, service, key)
    if name is not None and name not in state:
        raise NotFoundError(f"{service} {key!r} has no state {name!r}.")
    what = "everything" if name is None else repr(name)
    if not await confirmed(remote, f"Clear {what} of {service} {key!r}?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    left = {} if name is None else {each: value for each, value in state.items() if each != name}
    await _replace(remote, service, key, left)
    say(f"{service} {key!r}: {len(state) - len(left)} cleared, {len(left)} left")
    return Exit.OK


async def _replace(remote: Remote, service: str, key: str, state: dict[str, bytes]) -> None:
    new = {name: list(value) for name, value in state.items()}
    from urllib.parse import quote

    await remote.done("POST", f"/services/{quote(service, safe='')}/state", {"object_key": key, "new_state": new})
