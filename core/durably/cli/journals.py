"""`durably journal`: the time line of an invocation, and replaying stored journals against the present code.

Owns which journals are replayed, and the report. How a journal is followed is `durably.testing.replaying`'s business;
nothing is executed and nothing is written anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from durably.cli.commands import JsonOption, runtime_command
from durably.cli.exits import Exit
from durably.cli.loading import Loaded, load
from durably.cli.output import progress, say, show_json, show_table, tell
from durably.cli.recordings import load_recordings, save_recordings
from durably.errors import UsageError
from durably.operations.connections import Connection, Remote, choose, connect
from durably.operations.invocations import quoted, read_one
from durably.operations.journals import read_journal
from durably.operations.timelines import Line
from durably.operations.times import duration, time_of
from durably.testing.journals import RecordedJournal, journal_from_rows, journal_of
from durably.testing.replaying import Mismatch, replay

__all__ = ["app"]

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Read journals, and replay them against the present code.")

_BATCH: Final = 50
_COLUMNS: Final = (
    "id, target_service_name, target_service_key, target_handler_name, pinned_service_protocol_version, status"
)


@runtime_command(app, "show")
async def _show(
    remote: Remote, invocation_id: Annotated[str, typer.Argument(metavar="ID")], json: JsonOption = False
) -> None:
    """Show what an invocation did: steps, calls, sleeps and state, with times, results and failures."""
    invocation = await read_one(remote, invocation_id)
    lines = (await read_journal(remote, invocation_id)).lines
    if json:
        show_json({"invocation": invocation, "entries": [line.to_json() for line in lines]})
        return
    for text in _heading(invocation):
        say(text)
    began = next((line.at for line in lines if line.at is not None), None)
    show_table(
        ("#", "AT", "WHAT", "TOOK", "RESULT"),
        ((line.index, _since(began, line.at), line.what, _took(line), _result(line)) for line in lines),
        empty="Its journal was not kept.",
    )
    for text in _troubles(invocation):
        say(text)


def _heading(invocation: dict[str, Any]) -> list[str]:
    created, ended = time_of(invocation["created_at"]), time_of(invocation["completed_at"])
    status = invocation["completion_result"] or invocation["status"]
    after = "" if created is None or ended is None else f" after {duration((ended - created).total_seconds() * 1000)}"
    lines = [f"{invocation['target']}  {invocation['id']}", f"{status}{after}, created {invocation['created_at']}"]
    if invocation["completion_failure"]:
        lines.append(f"failed: {invocation['completion_failure']}")
    return [*lines, ""]


def _troubles(invocation: dict[str, Any]) -> list[str]:
    if invocation["status"] == "completed" or not invocation["last_failure"]:
        return []
    again = f"; next attempt at {invocation['next_retry_at']}" if invocation["next_retry_at"] else ""
    return ["", f"Attempt {invocation['retry_count'] or 1} failed: {invocation['last_failure']}{again}"]


def _since(began: datetime | None, at: datetime | None) -> str | None:
    return None if began is None or at is None else f"+{duration((at - began).total_seconds() * 1000)}"


def _took(line: Line) -> str | None:
    if line.is_open:
        return "waits"
    return None if line.took_ms is None else duration(line.took_ms)


def _result(line: Line) -> str:
    return f"failed: {line.failure}" if line.failure else line.result


# ---- replay


@app.command("replay")
def _replay_command(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The present code.")],
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL|FILE", help="An admin URL, an engine's file, or saved journals."),
    ] = None,
    save: Annotated[str | None, typer.Option("--save", metavar="FILE", help="Keep the journals for later.")] = None,
    service: Annotated[list[str] | None, typer.Option("--service", help="Only of this service; repeatable.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only this invocation; repeatable.")] = None,
    running: Annotated[bool, typer.Option("--running", help="Only of invocations that are not over.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 1000,
    token: Annotated[str | None, typer.Option("--token", help="A bearer token; better in DURABLY_TOKEN.")] = None,
    json: JsonOption = False,
) -> None:
    """Replay stored journals against the present code: would running invocations go on after a deploy?

    Running and finished ones; the exit code is 1 if a handler leaves its journal. Nothing is executed.
    """
    loaded = load(target)
    if not loaded.endpoints:
        raise UsageError(
            f"{target} has no services that can be seen from outside.", hint="Name the durably app itself."
        )
    code = asyncio.run(_replay_all(loaded, source, save, service, ids, running, limit, token, as_json=json))
    if code:
        raise typer.Exit(code)


async def _replay_all(
    loaded: Loaded,
    source: str | None,
    save: str | None,
    services: Sequence[str] | None,
    ids: Sequence[str] | None,
    running: bool,
    limit: int,
    token: str | None,
    *,
    as_json: bool,
) -> int:
    path = Path(source) if source is not None and not source.startswith(("http://", "https://")) else None
    if path is not None and (path.is_dir() or path.suffix == ".json"):
        journals = await asyncio.to_thread(load_recordings, path)
        journals = [each for each in journals if not (running and each.is_completed)]
        journals = [each for each in journals if not ids or each.invocation_id in ids][:limit]
    else:
        async with connect(_source(source, token)) as remote:
            journals = await _fetched(remote, ids, running, limit)
    known = set(loaded.services)
    elsewhere = [each for each in journals if each.service not in known]
    journals = [each for each in journals if each.service in known and (not services or each.service in services)]
    if save is not None:
        await asyncio.to_thread(save_recordings, journals, Path(save))
        tell(f"Saved: {len(journals)} journals in {save}")
    mismatches = await _mismatches(loaded, journals)
    if as_json:
        show_json(
            {
                "replayed": len(journals),
                "elsewhere": len(elsewhere),
                "mismatches": [
                    {
                        "target": each.target,
                        "invocation_id": each.invocation_id,
                        "message": each.message,
                        "location": each.location,
                    }
                    for each in mismatches
                ],
            }
        )
        return Exit.FAILED if mismatches else Exit.OK
    for each in mismatches:
        say(f"{each}\n")
    if elsewhere:
        names = ", ".join(sorted({each.service for each in elsewhere}))
        tell(f"{len(elsewhere)} journals are of services that {loaded.target} does not have: {names}.")
    if not journals:
        tell("There are no journals to replay.")
    else:
        count, lost = len(journals), len(mismatches)
        words = f"{lost} {'is' if lost == 1 else 'are'} not followed" if lost else "all of them are followed"
        tell(f"{count} {'journal was' if count == 1 else 'journals were'} replayed: {words}.")
    return Exit.FAILED if mismatches else Exit.OK


async def _mismatches(loaded: Loaded, journals: Sequence[RecordedJournal]) -> list[Mismatch]:
    found: list[Mismatch] = []
    logger = logging.getLogger("durably")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what attempts log stands in the report
    try:
        with progress("Replaying", len(journals)) as advance:
            for journal in journals:
                mismatch = await _replayed(loaded, journal)
                if mismatch is not None:
                    found.append(replace(mismatch, location=_from_here(mismatch.location)))
                advance()
    finally:
        logger.setLevel(level)
    return found


def _from_here(location: str) -> str:
    return location.removeprefix(f"{os.getcwd()}{os.sep}")


async def _replayed(loaded: Loaded, journal: RecordedJournal) -> Mismatch | None:
    found = loaded.find(journal.service, journal.handler)
    if found is None:
        text = f"{journal.target} is not there any more: its invocations could not go on."
        return Mismatch(journal.target, journal.invocation_id, text, loaded.target)
    handler, endpoint = found
    return await replay(handler, journal, endpoint)


def _source(source: str | None, token: str | None) -> Connection:
    if source is None:
        return choose(token=token)
    if source.startswith(("http://", "https://")):
        return choose(admin_url=source, token=token)
    return choose(db=source, token=token)


async def _fetched(remote: Remote, ids: Sequence[str] | None, running: bool, limit: int) -> list[RecordedJournal]:
    conditions = ["journal_size > 0"]
    if ids:
        conditions.append(f"id IN ({', '.join(map(quoted, ids))})")
    if running:
        conditions.append("status <> 'completed'")
    invocations = await remote.query(
        f"SELECT {_COLUMNS} FROM sys_invocation WHERE {' AND '.join(conditions)}"  # noqa: S608 - quoted
        f" ORDER BY created_at DESC LIMIT {limit}"
    )
    found: list[RecordedJournal] = []
    with progress("Reading", len(invocations)) as advance:
        for start in range(0, len(invocations), _BATCH):
            part = invocations[start : start + _BATCH]
            found += await _journals(remote, part)
            advance(len(part))
    return found


async def _journals(remote: Remote, invocations: Sequence[dict[str, Any]]) -> list[RecordedJournal]:
    listed = [row["id"] for row in invocations]
    if remote.file is not None:  # which tells the seed of random numbers too, so that payloads are compared
        read = await remote.file.read(lambda reader: [journal_of(reader, each) for each in listed])
        return [each for each in read if each is not None]
    rows = await remote.query(
        f"SELECT id, index, entry_type, raw FROM sys_journal WHERE id IN ({', '.join(map(quoted, listed))})"  # noqa: S608 - quoted
        " ORDER BY id, index"
    )
    entries: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        entries.setdefault(row["id"], []).append(row)
    return [journal_from_rows(row, entries[row["id"]]) for row in invocations if row["id"] in entries]
