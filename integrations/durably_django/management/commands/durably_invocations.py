"""`manage.py durably_invocations`: lists invocations, shows one with its journal, and acts on one or many.

Owns the command line. Reading needs nobody: where the engine is a file, the file is read. Acting needs a process that
drives it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser

from durably.cli.exits import Exit
from durably.operations.connections import Remote
from durably.operations.invocations import Applied, Filters, Operation, Status, apply, read_one, rows_of
from durably.operations.journals import read_journal
from durably.operations.timelines import Line
from durably.operations.times import duration
from durably_django.management.output import or_fail, table
from durably_django.operating import Work, ask_from_command
from durably_django.shown import ShownInvocation

__all__ = ["Command"]

ResultT = TypeVar("ResultT")

_MOST: Final = 10_000
_ACTIONS: Final = {
    "cancel": (Operation.CANCEL, "Cancelled", "tell handlers to stop: each may undo what it did"),
    "kill": (Operation.KILL, "Killed", "end invocations at once, without their handlers"),
    "pause": (Operation.PAUSE, "Paused", "hold invocations at their next stop"),
    "resume": (Operation.RESUME, "Resumed", "go on with paused invocations, or try again now"),
    "restart": (Operation.RESTART, "Restarted", "run completed invocations again, as new ones"),
    "purge": (Operation.PURGE, "Purged", "forget completed invocations before their time"),
}
_GENTLE: Final = frozenset(("pause", "resume"))


class Command(BaseCommand):
    """The command."""

    help = "Look at invocations, and act on them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to do, and its options."""
        commands = parser.add_subparsers(dest="what", required=True, metavar="list|show|" + "|".join(_ACTIONS))
        listing = commands.add_parser("list", help="list invocations, newest first")
        _add_filters(listing)
        listing.add_argument("--limit", type=int, default=50, help="at most so many (50)")
        showing = commands.add_parser("show", help="show one invocation, with its journal")
        showing.add_argument("id")
        for name, (_, _, text) in _ACTIONS.items():
            acting = commands.add_parser(name, help=text)
            acting.add_argument("ids", nargs="*", metavar="id", help="which; or give filters")
            _add_filters(acting)
            acting.add_argument("--no-input", "--noinput", dest="interactive", action="store_false", help="do not ask")
        for each in commands.choices.values():
            each.add_argument("--json", action="store_true", help="write JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it.

        Raises:
            CommandError: The runtime cannot be reached, there is no such invocation, or some were refused.
        """
        match options["what"]:
            case "list":
                self._list(options)
            case "show":
                self._show(options)
            case name:
                self._act(name, options)

    def _list(self, options: dict[str, Any]) -> None:
        limit: int = options["limit"]
        if not 1 <= limit <= _MOST:
            raise CommandError(f"--limit is between 1 and {_MOST}.", returncode=Exit.USAGE)
        filters = _filters(options)
        rows: list[dict[str, Any]] = _asked(lambda remote: rows_of(remote, filters.where, limit))
        if options["json"]:
            self._write_json(rows)
            return
        if not rows:
            self.stderr.write("There are no such invocations.")
            return
        shown = [ShownInvocation(row) for row in rows]
        cells = [
            (each.id, each.target, each.state, row["created_at"], each.note)
            for each, row in zip(shown, rows, strict=True)
        ]
        self.stdout.write(table(("ID", "TARGET", "STATUS", "CREATED", "NOTE"), cells))
        if len(rows) == limit:
            self.stderr.write(f"These are the newest {limit}; --limit shows more.")

    def _show(self, options: dict[str, Any]) -> None:
        invocation_id: str = options["id"]

        async def read(remote: Remote) -> tuple[dict[str, Any], list[Line]]:
            return await read_one(remote, invocation_id), (await read_journal(remote, invocation_id)).lines

        row, lines = _asked(read)
        if options["json"]:
            self._write_json({"invocation": row, "entries": [line.to_json() for line in lines]})
            return
        self.stdout.write(table(("WHAT", "VALUE"), [each for each in row.items() if each[1] is not None]))
        if lines:
            self.stdout.write("\n" + table(("#", "WHAT", "TOOK", "RESULT"), map(_cells, lines)))

    def _act(self, name: str, options: dict[str, Any]) -> None:
        operation, done, _ = _ACTIONS[name]
        chosen: list[str] = _asked(lambda remote: _chosen(remote, name, options))
        if not chosen:
            self.stderr.write("There are no such invocations.")
        elif options["interactive"] and not (name in _GENTLE and options["ids"]):
            self._ask(f"{name.capitalize()} {chosen[0] if len(chosen) == 1 else f'{len(chosen)} invocations'}?")
        applied = Applied()
        if chosen:
            applied = _asked(lambda remote: apply(remote, operation, chosen))
        if options["json"]:
            self._write_json({"succeeded": applied.succeeded, "failed": applied.failed})
        else:
            for each in applied.succeeded:
                self.stdout.write(
                    each if isinstance(each, str) else f"{each['old_invocation_id']} -> {each['new_invocation_id']}"
                )
            self.stderr.write(f"{done}: {len(applied.succeeded)}")
        if applied.failed:
            reasons = "\n".join(f"{each['invocation_id']}: {each['error']}" for each in applied.failed)
            raise CommandError(f"Refused: {len(applied.failed)}\n{reasons}", returncode=Exit.FAILED)

    def _ask(self, question: str) -> None:
        try:
            answer = input(f"{question} [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was done. --no-input does it without asking.", returncode=Exit.FAILED)

    def _write_json(self, document: object) -> None:
        self.stdout.write(json.dumps(document, indent=2, ensure_ascii=False))


def _asked(work: Work[ResultT]) -> ResultT:
    return or_fail(lambda: ask_from_command(work))


def _add_filters(parser: Any) -> None:
    parser.add_argument("--status", action="append", choices=[each.value for each in Status], help="repeatable")
    parser.add_argument("--service")
    parser.add_argument("--handler")
    parser.add_argument("--key", help="of the object or the workflow")
    parser.add_argument("--search", metavar="TEXT", help="an id, or a part of a key or an idempotency key")


def _filters(options: dict[str, Any]) -> Filters:
    return Filters(
        statuses=tuple(Status(each) for each in options["status"] or ()),
        service=options["service"],
        handler=options["handler"],
        key=options["key"],
        text=options["search"],
    )


async def _chosen(remote: Remote, name: str, options: dict[str, Any]) -> list[str]:
    ids: Sequence[str] = options["ids"]
    filters = _filters(options)
    if bool(ids) == bool(filters.where):
        raise CommandError("Which? Give ids, or filters as --status and --service.", returncode=Exit.USAGE)
    if ids:
        return list(dict.fromkeys(ids))
    if name in ("restart", "purge") and not filters.statuses:
        options["status"] = [Status.COMPLETED.value]
        filters = _filters(options)
    return [row["id"] for row in await rows_of(remote, filters.where, _MOST)]


def _cells(line: Line) -> tuple[object, ...]:
    took = "waits" if line.is_open else None if line.took_ms is None else duration(line.took_ms)
    return line.index, line.what, took, f"failed: {line.failure}" if line.failure else line.result
