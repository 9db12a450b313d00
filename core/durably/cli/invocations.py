"""`durably invocations`: which there are, what one of them does, and acting on one or many.

Owns how they are selected (ids, or filters), what is asked before, and what is shown; the operations themselves are
`durably.operations.invocations`. Each one that is refused is listed with the reason, and the exit code is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from durably.cli.commands import JsonOption, YesOption, confirmed, runtime_command
from durably.cli.exits import Exit
from durably.cli.output import progress, say, show_json, show_table, tell
from durably.errors import UsageError
from durably.operations.connections import Remote
from durably.operations.invocations import Filters, Operation, Status, apply, read_one, rows_of

__all__ = ["app"]

app: typer.Typer = typer.Typer(no_args_is_help=True, help="List invocations, look at one, act on them.")

_MOST: Final = 10_000

_StatusOption = Annotated[list[Status] | None, typer.Option("--status", "-s", help="Only in this status; repeatable.")]
_ServiceOption = Annotated[str | None, typer.Option("--service", help="Only of this service.")]
_HandlerOption = Annotated[str | None, typer.Option("--handler", help="Only of this handler.")]
_KeyOption = Annotated[str | None, typer.Option("--key", help="Only of this object or workflow.")]
_LimitOption = Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="At most so many, newest first.")]
_IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which; or give filters.")]


@runtime_command(app, "list")
async def _list_invocations(
    remote: Remote,
    status: _StatusOption = None,
    service: _ServiceOption = None,
    handler: _HandlerOption = None,
    key: _KeyOption = None,
    limit: _LimitOption = 50,
    json: JsonOption = False,
) -> None:
    """List invocations, newest first."""
    filters = Filters(statuses=tuple(status or ()), service=service, handler=handler, key=key)
    rows = await rows_of(remote, filters.where, limit)
    if json:
        show_json(rows)
        return
    show_table(
        ("ID", "TARGET", "STATUS", "CREATED", "NOTE"),
        ((row["id"], row["target"], _shown_status(row), row["created_at"], _note(row)) for row in rows),
        empty="There are no such invocations.",
    )
    if len(rows) == limit:
        tell(f"These are the newest {limit}; --limit shows more.")


def _shown_status(row: dict[str, Any]) -> str:
    return str(row["completion_result"] or row["status"])


def _note(row: dict[str, Any]) -> str:
    text = row["completion_failure"] or row["last_failure"] or ""
    if row["status"] == "scheduled" and row["scheduled_start_at"]:  # a real server does not tell
        text = f"starts at {row['scheduled_start_at']}"
    return text.splitlines()[0][:100] if text else ""


@runtime_command(app, "show")
async def _show_invocation(
    remote: Remote, invocation_id: Annotated[str, typer.Argument(metavar="ID")], json: JsonOption = False
) -> None:
    """Show one invocation."""
    row = await read_one(remote, invocation_id)
    if json:
        show_json(row)
        return
    show_table(("WHAT", "VALUE"), ((name, value) for name, value in row.items() if value is not None), empty="")
    say(f"Its journal: durably journal show {invocation_id}")


def _operation(command: str, operation: Operation, done: str, *, is_destructive: bool, text: str) -> None:
    async def act(
        remote: Remote,
        ids: _IdsArgument = None,
        status: _StatusOption = None,
        service: _ServiceOption = None,
        handler: _HandlerOption = None,
        key: _KeyOption = None,
        yes: YesOption = False,
        json: JsonOption = False,
    ) -> int:
        chosen = await _chosen(remote, ids, status, service, handler, key)
        asks = is_destructive or not ids
        if chosen and asks and not await confirmed(remote, f"{command.capitalize()} {_count(chosen)}?", yes=yes):
            tell("Nothing was done.")
            return Exit.FAILED
        return await _apply(remote, operation, done, chosen, json=json)

    act.__doc__ = text
    runtime_command(app, command)(act)


async def _chosen(
    remote: Remote,
    ids: Sequence[str] | None,
    status: Sequence[Status] | None,
    service: str | None,
    handler: str | None,
    key: str | None,
) -> list[str]:
    where = Filters(statuses=tuple(status or ()), service=service, handler=handler, key=key).where
    if ids and where:
        raise UsageError("Give ids, or filters, not both.")
    if ids:
        return list(dict.fromkeys(ids))
    if not where:
        raise UsageError("Which invocations?", hint="Give ids, or filters as --status and --service.")
    rows = await remote.query(f"SELECT id FROM sys_invocation{where} ORDER BY created_at LIMIT {_MOST}")  # noqa: S608 - quoted
    if len(rows) == _MOST:
        tell(f"There are more: these are the oldest {_MOST}.")
    return [row["id"] for row in rows]


async def _apply(
    remote: Remote,
    operation: Operation,
    done: str,
    chosen: Sequence[str],
    *,
    json: bool,
    parameters: dict[str, str] | None = None,
) -> int:
    if not chosen:
        tell("There are no such invocations.")
    with progress(done.capitalize(), len(chosen)) as advance:
        applied = await apply(remote, operation, chosen, parameters, advance)
    if json:
        show_json({"succeeded": applied.succeeded, "failed": applied.failed})
    else:
        for each in applied.succeeded:
            say(f"{each['old_invocation_id']} -> {each['new_invocation_id']}" if isinstance(each, dict) else each)
        for refused in applied.failed:
            tell(f"{refused['invocation_id']}: {refused['error']}")
        tell(f"{done}: {len(applied.succeeded)}" + (f", refused: {len(applied.failed)}" if applied.failed else ""))
    return Exit.FAILED if applied.failed else Exit.OK


def _count(chosen: Sequence[str]) -> str:
    return chosen[0] if len(chosen) == 1 else f"{len(chosen)} invocations"


_operation(
    "cancel",
    Operation.CANCEL,
    "Cancelled",
    is_destructive=True,
    text="Tell handlers to stop: each may undo what it did, and then ends with 409.",
)
_operation(
    "kill",
    Operation.KILL,
    "Killed",
    is_destructive=True,
    text="End invocations at once, without their handlers: nothing is undone.",
)
_operation("pause", Operation.PAUSE, "Paused", is_destructive=False, text="Hold invocations at their next stop.")


@runtime_command(app, "resume")
async def _resume(
    remote: Remote,
    ids: _IdsArgument = None,
    status: _StatusOption = None,
    service: _ServiceOption = None,
    handler: _HandlerOption = None,
    key: _KeyOption = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", help="Where: keep, latest, or a deployment's id.")
    ] = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Go on with paused invocations, or try again now instead of later."""
    chosen = await _chosen(remote, ids, status, service, handler, key)
    if chosen and not ids and not await confirmed(remote, f"Resume {_count(chosen)}?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    parameters = {} if deployment is None else {"deployment": deployment}
    return await _apply(remote, Operation.RESUME, "Resumed", chosen, json=json, parameters=parameters)


@runtime_command(app, "restart")
async def _restart(
    remote: Remote,
    ids: _IdsArgument = None,
    service: _ServiceOption = None,
    handler: _HandlerOption = None,
    key: _KeyOption = None,
    deployment: Annotated[str | None, typer.Option("--deployment", help="Where: latest, or a deployment's id.")] = None,
    from_entry: Annotated[
        int | None, typer.Option("--from", min=0, help="Keep the journal up to this entry (one ID only).")
    ] = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Run completed invocations again, with the same input, as new ones."""
    chosen = await _chosen(remote, ids, None if ids else [Status.COMPLETED], service, handler, key)
    if from_entry is not None and len(chosen) != 1:
        raise UsageError("--from is for one invocation.")
    if chosen and not await confirmed(remote, f"Run {_count(chosen)} again?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    parameters = {} if deployment is None else {"deployment": deployment}
    if from_entry is not None:
        parameters["from"] = str(from_entry)
    return await _apply(remote, Operation.RESTART, "Restarted", chosen, json=json, parameters=parameters)


@runtime_command(app, "purge")
async def _purge(
    remote: Remote,
    ids: _IdsArgument = None,
    service: _ServiceOption = None,
    handler: _HandlerOption = None,
    key: _KeyOption = None,
    journal_only: Annotated[bool, typer.Option("--journal-only", help="Keep the result.")] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> int:
    """Forget completed invocations before their time: results and journals."""
    chosen = await _chosen(remote, ids, None if ids else [Status.COMPLETED], service, handler, key)
    if chosen and not await confirmed(remote, f"Purge {_count(chosen)}?", yes=yes):
        tell("Nothing was done.")
        return Exit.FAILED
    return await _apply(
        remote, Operation.PURGE_JOURNAL if journal_only else Operation.PURGE, "Purged", chosen, json=json
    )
