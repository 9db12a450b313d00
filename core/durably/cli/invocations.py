"""`durably invocations`: which there are, what one of them does, and acting on one or many.

Owns the selection (ids, or filters) and the operations. Many are done in batches; each one that is refused is listed
with the reason, and the exit code is 1.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from durably.cli.commands import JsonOption, YesOption, confirmed, runtime_command
from durably.cli.connections import Remote
from durably.cli.exits import Exit, NotFoundError
from durably.cli.output import progress, say, show_json, show_table, tell
from durably.errors import UsageError

__all__ = ["INVOCATION_FIELDS", "Status", "app", "quoted", "rows_of"]

app: typer.Typer = typer.Typer(no_args_is_help=True, help="List invocations, look at one, act on them.")

INVOCATION_FIELDS: Final = (
    "id",
    "target",
    "target_service_name",
    "target_service_key",
    "target_handler_name",
    "status",
    "completion_result",
    "completion_failure",
    "created_at",
    "modified_at",
    "scheduled_start_at",
    "completed_at",
    "invoked_by",
    "invoked_by_id",
    "idempotency_key",
    "pinned_deployment_id",
    "retry_count",
    "next_retry_at",
    "last_failure",
    "journal_size",
)
"""Columns of an invocation in JSON; each is always there."""

_BATCH: Final = 100
_MOST: Final = 10_000


class Status(enum.StrEnum):
    """Where an invocation is."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    BACKING_OFF = "backing-off"
    SUSPENDED = "suspended"
    COMPLETED = "completed"


_StatusOption = Annotated[list[Status] | None, typer.Option("--status", "-s", help="Only in this status; repeatable.")]
_ServiceOption = Annotated[str | None, typer.Option("--service", help="Only of this service.")]
_HandlerOption = Annotated[str | None, typer.Option("--handler", help="Only of this handler.")]
_KeyOption = Annotated[str | None, typer.Option("--key", help="Only of this object or workflow.")]
_LimitOption = Annotated[int, typer.Option("--limit", min=1, max=_MOST, help="At most so many, newest first.")]
_IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which; or give filters.")]


def quoted(text: str) -> str:
    """Write a text as SQL does."""
    return "'" + text.replace("'", "''") + "'"


def _where(
    status: Sequence[Status] | None, service: str | None, handler: str | None, key: str | None
) -> tuple[str, bool]:
    conditions: list[str] = []
    if status:
        conditions.append(f"status IN ({', '.join(quoted(each.value) for each in status)})")
    for column, value in (
        ("target_service_name", service),
        ("target_handler_name", handler),
        ("target_service_key", key),
    ):
        if value is not None:
            conditions.append(f"{column} = {quoted(value)}")
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), bool(conditions)


async def rows_of(remote: Remote, where: str, limit: int) -> list[dict[str, Any]]:
    """Give invocations, newest first, with all of `INVOCATION_FIELDS`."""
    sql = f"SELECT {', '.join(INVOCATION_FIELDS)} FROM sys_invocation{where} ORDER BY created_at DESC LIMIT {limit}"  # noqa: S608 - quoted
    return [{name: row.get(name) for name in INVOCATION_FIELDS} for row in await remote.query(sql)]


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
    where, _ = _where(status, service, handler, key)
    rows = await rows_of(remote, where, limit)
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
    rows = await rows_of(remote, f" WHERE id = {quoted(invocation_id)}", 1)
    if not rows:
        raise NotFoundError(f"There is no invocation {invocation_id}.")
    if json:
        show_json(rows[0])
        return
    show_table(("WHAT", "VALUE"), ((name, value) for name, value in rows[0].items() if value is not None), empty="")
    say(f"Its journal: durably journal show {invocation_id}")


def _operation(command: str, operation: str, done: str, *, is_destructive: bool, text: str) -> None:
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
    where, has_filters = _where(status, service, handler, key)
    if ids and has_filters:
        raise UsageError("Give ids, or filters, not both.")
    if ids:
        return list(dict.fromkeys(ids))
    if not has_filters:
        raise UsageError("Which invocations?", hint="Give ids, or filters as --status and --service.")
    rows = await remote.query(f"SELECT id FROM sys_invocation{where} ORDER BY created_at LIMIT {_MOST}")  # noqa: S608 - quoted
    if len(rows) == _MOST:
        tell(f"There are more: these are the oldest {_MOST}.")
    return [row["id"] for row in rows]


async def _apply(
    remote: Remote,
    operation: str,
    done: str,
    chosen: Sequence[str],
    *,
    json: bool,
    parameters: dict[str, str] | None = None,
) -> int:
    succeeded: list[Any] = []
    failed: list[dict[str, str]] = []
    if not chosen:
        tell("There are no such invocations.")
    elif len(chosen) == 1:
        one = chosen[0]
        answer = await remote.admin("PATCH", f"/invocations/{_segment(one)}/{operation}", params=parameters or {})
        if answer.status == 404:
            raise NotFoundError(answer.message)
        if answer.is_success:
            new = answer.json().get("new_invocation_id")
            succeeded.append({"old_invocation_id": one, "new_invocation_id": new} if new else one)
        else:
            failed.append({"invocation_id": one, "error": answer.message})
    else:
        with progress(done.capitalize(), len(chosen)) as advance:
            for start in range(0, len(chosen), _BATCH):
                part = list(chosen[start : start + _BATCH])
                body = {"invocation_ids": part, **(parameters or {})}
                document = await remote.done("POST", f"/internal/invocations_batch_operations/{operation}", body)
                succeeded += document["succeeded"]
                failed += document["failed"]
                advance(len(part))
    if json:
        show_json({"succeeded": succeeded, "failed": failed})
    else:
        for each in succeeded:
            say(f"{each['old_invocation_id']} -> {each['new_invocation_id']}" if isinstance(each, dict) else each)
        for refused in failed:
            tell(f"{refused['invocation_id']}: {refused['error']}")
        tell(f"{done}: {len(succeeded)}" + (f", refused: {len(failed)}" if failed else ""))
    return Exit.FAILED if failed else Exit.OK


def _segment(invocation_id: str) -> str:
    if not invocation_id.replace("_", "").isalnum() or not invocation_id.isascii():
        raise UsageError(f"{invocation_id!r} is no invocation id.", hint="One begins with inv_.")
    return invocation_id


def _count(chosen: Sequence[str]) -> str:
    return chosen[0] if len(chosen) == 1 else f"{len(chosen)} invocations"


_operation(
    "cancel",
    "cancel",
    "Cancelled",
    is_destructive=True,
    text="Tell handlers to stop: each may undo what it did, and then ends with 409.",
)
_operation(
    "kill",
    "kill",
    "Killed",
    is_destructive=True,
    text="End invocations at once, without their handlers: nothing is undone.",
)
_operation("pause", "pause", "Paused", is_destructive=False, text="Hold invocations at their next stop.")


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
    return await _apply(remote, "resume", "Resumed", chosen, json=json, parameters=parameters)


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
    return await _apply(remote, "restart-as-new", "Restarted", chosen, json=json, parameters=parameters)


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
    return await _apply(remote, "purge-journal" if journal_only else "purge", "Purged", chosen, json=json)
